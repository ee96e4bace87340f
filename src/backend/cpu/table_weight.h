// The table of the vocabulary: rows lie as they are, so that they can be read one by one, and are multiplied
// with few rows of x, those of a step of decoding.
#pragma once

#include "backend/cpu/aligned.h"
#include "backend/cpu/block_rows.h"
#include "backend/cpu/cpu_weight.h"
#include "core/usize.h"

namespace claa::cpu {

class TableWeight : public CpuWeight {
 public:
  // In f32 or bf16, the activation type. `products` outlives the weight.
  TableWeight(CpuProducts& products, const WeightSource& source, DType dtype);

  void multiply(const Tensor& x, const Tensor& out, bool accumulate) const override;
  void row(int64_t index, int64_t first, int64_t count, float* to) const override;

 private:
  const void* address(int64_t row) const { return rows_.data() + usize(row * inputs) * dtype_bytes(dtype_); }

  CpuProducts& products_;
  const DType dtype_;
  AlignedVector<std::byte> rows_;  // [outputs, inputs]
};

// The same table as blocks of its file: rows are widened when they are read, to the same values.
class BlockTable : public CpuWeight {
 public:
  BlockTable(CpuProducts& products, const WeightSource& source, DType dtype,
             std::shared_ptr<const BlockRows> blocks);

  void multiply(const Tensor& x, const Tensor& out, bool accumulate) const override;
  void row(int64_t index, int64_t first, int64_t count, float* to) const override;

 private:
  CpuProducts& products_;
  const DType dtype_;
  const std::shared_ptr<const BlockRows> blocks_;
};

}  // namespace claa::cpu
