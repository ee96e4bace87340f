// Linear layers on products of our own, f32 or pairs of bf16: rows stay with the thread that norms and
// rotates them, and gate and up are multiplied together, so that no buffer is needed between.
#pragma once

#include <memory>

#include "backend/cpu/aligned.h"
#include "backend/cpu/block_rows.h"
#include "backend/cpu/cpu_weight.h"
#include "backend/cpu/panels.h"

namespace claa::cpu {

class PanelWeight : public CpuWeight {
 public:
  // Units are pairs of bf16 where the kernels multiply those, and f32 otherwise. `rounded` weights are those
  // of a model in bf16. With blocks, each panel is unpacked from them when it is multiplied, to the same
  // values. `products` outlives the weight.
  PanelWeight(CpuProducts& products, const WeightSource& source, bool rounded,
              std::shared_ptr<const BlockRows> blocks = nullptr);
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
  // Some panels, as far apart as their stride.
  struct Panels {
    const uint32_t* units;
    int64_t stride;
  };
  Rows rows_of(const Tensor& x) const;
  void multiply_pairs(const Rows& x, const Panels& panels, const Tile& tile, const Tensor& out,
                      bool accumulate) const;
  // `sums` is scratch for a tile.
  void multiply_floats(const Rows& x, const Panels& panels, const Tile& tile, float* sums, const Tensor& out,
                       bool accumulate) const;
  // The panels first, first + step and so on.
  Panels panels(int64_t first, int64_t step, int64_t count, int thread) const;
  // Makes room for so many panels at a time of each thread.
  void reserve(int64_t count) const;
  Sharing sharing() const { return blocks_ ? Sharing::kPanels : Sharing::kRows; }
  int64_t units_of(int64_t values) const { return pairs_ ? values / 2 : values; }
  int64_t panel_units() const { return unit_count_ * width_; }
  // Rows f32 [panel, n], `stride` apart, to the units of a panel. The rows are changed.
  void pack(float* rows, int64_t stride, int64_t n, uint32_t* to) const;
  void unpack(int64_t panel, uint32_t* to) const;
  void multiply_panels(const Rows& x, int64_t first, int64_t rows, const Panels& panels, int64_t columns,
                       float* to, int64_t to_stride, bool accumulate) const;

  CpuProducts& products_;
  const bool pairs_, rounded_;
  const int64_t width_, unit_count_;               // columns of a panel; units of an output's inputs
  const std::shared_ptr<const BlockRows> blocks_;  // instead of units_
  AlignedVector<uint32_t> units_;                  // [panels, units, panel]
};

}  // namespace claa::cpu
