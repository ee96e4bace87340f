// Linear layers on 8-bit products: one scale per group of inputs of an output's weights, made once, and of
// a row of activations, made in each call.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/aligned.h"
#include "backend/cpu/int_kernels.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/panels.h"

namespace claa::cpu {

class IntWeight : public PackedWeight {
 public:
  int64_t unit_count() const { return (inputs + 3) / 4; }
  int64_t groups() const { return (4 * unit_count() + group - 1) / group; }
  int64_t panels(int64_t width) const { return panel_count(outputs, width); }
  IntPanel panel(int64_t index, int64_t width) const {
    const int64_t scale = index * groups() * width;
    return {group, units.data() + index * unit_count() * width * 4, offsets.data() + scale,
            scales.data() + scale};
  }

  int64_t group = kI8Group;        // inputs that share a scale
  AlignedVector<int8_t> units;     // [panels, inputs / 4 rounded up, panel, 4]
  AlignedVector<int32_t> offsets;  // [panels, groups, panel]
  AlignedVector<float> scales;     // [panels, groups, panel]
};

class IntLinear {
 public:
  IntLinear(const IntKernels& kernels, int threads) : kernels_(kernels), threads_(threads) {}

  std::unique_ptr<IntWeight> prepare(const WeightSource& source) const;
  // out [rows, outputs] f32 = x W^T (+ out); x f32, bf16 or kI8.
  void run(const Tensor& x, const IntWeight& weight, const Tensor& out, bool accumulate);
  // Whether run_heads() can: no panel holds parts of two heads.
  bool splits(int64_t head_size) const {
    return head_size % kernels_.panel == 0 && head_size <= kTileColumns;
  }
  // x W^T, one tile of a head's columns at a time; x f32, bf16 or kI8.
  void run_heads(const Tensor& x, const IntWeight& weight, int64_t head_size, const WriteHead& write);
  // Whether run_gated() can: no group of what is gated lies across the end of the gates.
  static bool gates(const IntWeight& weight, const Tensor& out) {
    return out.dtype == DType::kI8 && weight.outputs % (2 * kI8GatedGroup) == 0;
  }
  // out [rows, outputs / 2] kI8 = silu(gate) * up, [gate | up] = x W^T; x f32, bf16 or kI8.
  void run_gated(const Tensor& x, const IntWeight& weight, const Kernels& floats, const Tensor& out);

 private:
  // Activations as the kernels take them.
  struct Rows {
    const uint8_t* values;
    const float* scales;
    int64_t stride, row_scales;  // of a row
  };
  Rows rounded(const Tensor& x, const IntWeight& weight);
  // Rows [first, first + rows) by one panel.
  void multiply(const Rows& x, const IntWeight& weight, int64_t panel, int64_t first, int64_t rows, float* to,
                int64_t stride, bool accumulate) const;
  void pack_panel(const float* rows, int64_t panel, int64_t count, IntWeight& weight) const;

  const IntKernels& kernels_;
  int threads_;
  AlignedVector<uint8_t> quantized_;  // [rows, units, 4]
  std::vector<float> row_scales_;     // [rows, groups]
};

}  // namespace claa::cpu
