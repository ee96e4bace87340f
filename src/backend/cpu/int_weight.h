// Linear layers on 8-bit products: one scale per kIntGroup inputs of an output's weights, made once, and of a
// row of activations, made in each call.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/int_kernels.h"

namespace claa::cpu {

class IntWeight : public PackedWeight {
 public:
  std::vector<int8_t> units;     // [panels, inputs / 4 rounded up, panel, 4]
  std::vector<int32_t> offsets;  // [panels, groups, panel]
  std::vector<float> scales;     // [panels, groups, panel]
};

class IntLinear {
 public:
  IntLinear(const IntKernels& kernels, int threads) : kernels_(kernels), threads_(threads) {}

  std::unique_ptr<IntWeight> prepare(const WeightSource& source) const;
  // out [rows, outputs] f32 = x W^T (+ out); x f32 or bf16.
  void run(const Tensor& x, const IntWeight& weight, const Tensor& out, bool accumulate);

 private:
  void pack_panel(const float* rows, int64_t panel, int64_t count, IntWeight& weight) const;
  void run_tile(const IntWeight& weight, int64_t panel, int64_t first, int64_t rows, const Tensor& out,
                bool accumulate) const;

  const IntKernels& kernels_;
  int threads_;
  std::vector<uint8_t> quantized_;  // [rows, units, 4]
  std::vector<float> row_scales_;   // [rows, groups]
};

}  // namespace claa::cpu
