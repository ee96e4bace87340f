// Linear layers on 8-bit products: one scale per group of inputs of an output's weights, made once, and of
// a row of activations, made in each call.
#pragma once

#include <memory>
#include <vector>

#include "backend/cpu/aligned.h"
#include "backend/cpu/block_rows.h"
#include "backend/cpu/cpu_weight.h"
#include "backend/cpu/int_kernels.h"
#include "backend/cpu/panels.h"

namespace claa::cpu {

// State that the 8-bit weights of one backend share. It outlives them.
struct IntProducts {
  const IntKernels& kernels;
  CpuProducts& shared;
  AlignedVector<uint8_t> quantized = {};  // [rows, units, 4] of activations that come in another type
  std::vector<float> row_scales = {};     // [rows, groups]
};

class IntWeight : public CpuWeight {
 public:
  // With blocks, each panel is unpacked from them when it is multiplied, to the same values. `products`
  // outlives the weight.
  IntWeight(IntProducts& products, const WeightSource& source,
            std::shared_ptr<const BlockRows> blocks = nullptr);
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
  size_t panel_bytes() const { return usize(width_ * (4 * unit_count_ + 8 * groups_)); }
  IntPanel view(const std::byte* panel) const;
  void quantize(const float* row, int64_t n, uint32_t* units, float* scales, int32_t* sums) const;
  // Rows f32 [panel, n], `stride` apart, to the units of a panel from input `first` on, which begins a group.
  void pack(const float* rows, int64_t stride, int64_t first, int64_t n, std::byte* panel) const;
  void unpack(int64_t index, std::byte* panel) const;
  // Makes room for so many panels at a time of each thread.
  void reserve(int64_t count) const;
  // The panels from `first` on, and as many from `second` on unless that is -1; neighbours lie side by side.
  struct Panels {
    const std::byte* first;
    const std::byte* second;
  };
  Panels panels(int64_t first, int64_t second, int64_t count, int thread) const;
  Sharing sharing() const { return blocks_ ? Sharing::kPanels : Sharing::kRows; }
  Rows rounded(const Tensor& x) const;
  // Rows [first, first + rows) by one panel.
  void multiply_panel(const Rows& x, const std::byte* panel, int64_t first, int64_t rows, float* to,
                      int64_t stride, bool accumulate) const;

  IntProducts& products_;
  const int64_t group_;                        // inputs that share a scale
  const int64_t width_, unit_count_, groups_;  // columns of a panel; units and groups of an output's inputs
  const std::shared_ptr<const BlockRows> blocks_;  // instead of stored panels
  // Panel by panel as IntPanel has it: units [inputs / 4 rounded up, panel, 4], offsets and scales [groups,
  // panel].
  AlignedVector<std::byte> stored_;
};

}  // namespace claa::cpu
