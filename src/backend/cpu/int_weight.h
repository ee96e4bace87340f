// Linear layers on 8-bit products: one scale per group of inputs of an output's weights, made once, and of
// a row of activations, made in each call.
#pragma once

#include <vector>

#include "backend/cpu/aligned.h"
#include "backend/cpu/cpu_weight.h"
#include "backend/cpu/int_kernels.h"
#include "backend/cpu/panels.h"

namespace claa::cpu {

// State that the 8-bit weights of one backend share. It outlives them.
struct IntProducts {
  const IntKernels& kernels;
  const Kernels& floats;
  Threads& threads;
  AlignedVector<uint8_t> quantized = {};  // [rows, units, 4] of activations that come in another type
  std::vector<float> row_scales = {};     // [rows, groups]
};

class IntWeight : public CpuWeight {
 public:
  // `products` outlives the weight.
  IntWeight(IntProducts& products, const WeightSource& source);
  static size_t bytes_for(const IntKernels& kernels, int64_t outputs, int64_t inputs, bool gated);

  // x f32, bf16 or kI8.
  void multiply(const Tensor& x, const Tensor& out, bool accumulate) const override;
  bool multiply_heads(const Tensor& x, int64_t head_size, const WriteHead& write) const override;
  // out kI8.
  bool multiply_gated(const Tensor& x, Activation activation, const Tensor& out) const override;

 private:
  // Activations as the kernels take them.
  struct Rows {
    const uint8_t* values;
    const float* scales;
    int64_t stride, row_scales;  // of a row
  };
  // Scratch of one thread while the weight is packed: a row as the kernels round it.
  struct PackScratch {
    std::vector<uint8_t> row;
    std::vector<float> scales;
  };
  void pack_panel(const float* rows, int64_t panel, int64_t count, PackScratch& scratch);
  Rows rounded(const Tensor& x) const;
  // Rows [first, first + rows) by one panel.
  void multiply_panel(const Rows& x, int64_t index, int64_t first, int64_t rows, float* to, int64_t stride,
                      bool accumulate) const;
  IntPanel panel(int64_t index) const {
    const int64_t scale = index * groups_ * width_;
    return {group_, units_.data() + index * unit_count_ * width_ * 4, offsets_.data() + scale,
            scales_.data() + scale};
  }

  IntProducts& products_;
  const int64_t group_;                        // inputs that share a scale
  const int64_t width_, unit_count_, groups_;  // columns of a panel; units and groups of an output's inputs
  AlignedVector<int8_t> units_;                // [panels, inputs / 4 rounded up, panel, 4]
  AlignedVector<int32_t> offsets_;             // [panels, groups, panel]
  AlignedVector<float> scales_;                // [panels, groups, panel]
};

}  // namespace claa::cpu
