// Linear layers on products of our own, f32 or pairs of bf16: rows stay with the thread that norms and
// rotates them, and gate and up are multiplied together, so that no buffer is needed between.
#pragma once

#include "backend/cpu/aligned.h"
#include "backend/cpu/cpu_weight.h"
#include "backend/cpu/panels.h"

namespace claa::cpu {

class PanelWeight : public CpuWeight {
 public:
  // Units are pairs of bf16 where the kernels multiply those, and f32 otherwise. `rounded` weights are those
  // of a model in bf16. `products` outlives the weight.
  PanelWeight(CpuProducts& products, const WeightSource& source, bool rounded);
  static bool takes_pairs(const Kernels& kernels, int64_t inputs) {
    return kernels.bf16_dot && inputs % 2 == 0;
  }
  static size_t bytes_for(const Kernels& kernels, int64_t outputs, int64_t inputs);

  void multiply(const Tensor& x, const Tensor& out, bool accumulate) const override;
  bool multiply_heads(const Tensor& x, int64_t head_size, const WriteHead& write) const override;
  bool multiply_gated(const Tensor& x, Activation activation, const Tensor& out) const override;

 private:
  // Rows of x as the kernels take them.
  struct Rows {
    const uint32_t* units;
    int64_t stride;
    const uint32_t* from(int64_t row) const { return units + row * stride; }
  };
  // Rows [first, first + rows) by `columns` outputs from those of a panel on.
  struct Tile {
    int64_t first, rows, panel, columns;
  };
  Rows rows_of(const Tensor& x) const;
  void multiply_pairs(const Rows& x, const Tile& tile, const Tensor& out, bool accumulate) const;
  // `sums` is scratch for a tile.
  void multiply_floats(const Rows& x, const Tile& tile, float* sums, const Tensor& out,
                       bool accumulate) const;
  const uint32_t* panel(int64_t index) const { return units_.data() + index * unit_count_ * width_; }
  void multiply_panels(const Rows& x, int64_t first, int64_t rows, const uint32_t* panels, int64_t stride,
                       int64_t columns, float* to, int64_t to_stride, bool accumulate) const;

  CpuProducts& products_;
  const bool pairs_;
  const int64_t width_, unit_count_;  // columns of a panel; units of an output's inputs
  AlignedVector<uint32_t> units_;     // [panels, units, panel]
};

}  // namespace claa::cpu
