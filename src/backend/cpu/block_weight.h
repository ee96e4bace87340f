// Weights that stay the blocks of their file, in the mapping. Many rows are multiplied as if the weight had
// been widened when it was loaded, with the same bits: each panel is unpacked once per product. Within a
// decode step, unless activations are f32, rows are rounded to 8 bits and blocks multiplied as they are, but
// for tables of 16-bit floats: what a file keeps so, as routers, may decide too much for 8 bits.
#pragma once

#include <memory>

#include "backend/cpu/block_rows.h"
#include "backend/cpu/cpu_weight.h"

namespace claa::cpu {

// Rounds rows of activations for products with blocks; the memory is reused.
class RowRounder {
 public:
  // x bf16, or kI8 with a scale per `group` values. `factors`, if there are any, multiply its columns.
  RoundedRows round(const CpuProducts& products, const Tensor& x, int64_t group,
                    std::span<const float> factors);

 private:
  void round_row(const CpuProducts& products, const Tensor& x, int64_t row, int64_t group,
                 std::span<const float> factors);
  std::vector<float> row_;  // [inputs]
  AlignedVector<int8_t> values_;
  std::vector<float> scales_, sums_, halves_;
};

class BlockWeight : public CpuWeight {
 public:
  // `many` multiplies many rows, from `source` as well. Throws what source.fill() does for values that are
  // not finite. `products` and `rounder` outlive the weight, and so do the blocks.
  BlockWeight(CpuProducts& products, RowRounder& rounder, const WeightSource& source,
              std::shared_ptr<const BlockRows> blocks, std::unique_ptr<CpuWeight> many);

  void multiply(const Tensor& x, const Tensor& out, bool accumulate) const override;
  bool multiply_heads(const Tensor& x, int64_t head_size, const WriteHead& write) const override;
  bool multiply_gated(const Tensor& x, Activation activation, const Tensor& out) const override;
  void row(int64_t index, int64_t first, int64_t count, float* to) const override;

 private:
  bool rounds(const Tensor& x) const { return products_.decoding && !exact_ && x.dtype != DType::kF32; }

  CpuProducts& products_;
  RowRounder& rounder_;
  const int64_t group_;  // activations of kI8 that share a scale
  const std::shared_ptr<const BlockRows> blocks_;
  const bool exact_;  // multiplies rows as they are in decode steps too
  const std::unique_ptr<CpuWeight> many_;
};

}  // namespace claa::cpu
