// Linear layers on the CPU's own bf16 products, in place of oneDNN's where the CPU has no tiles (AMX): rows
// stay with the thread that norms and rotates them, and a gate needs no memory for what it gates.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/cpu/aligned.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/panels.h"

namespace claa::cpu {

class Bf16Weight : public PackedWeight {
 public:
  int64_t unit_count() const { return inputs / 2; }
  int64_t panels(int64_t width) const { return panel_count(outputs, width); }
  const uint32_t* panel(int64_t index, int64_t width) const {
    return units.data() + index * unit_count() * width;
  }

  AlignedVector<uint32_t> units;  // [panels, inputs / 2, panel] pairs of bf16
};

class Bf16Linear {
 public:
  // `kernels` have bf16_dot.
  Bf16Linear(const Kernels& kernels, int threads) : kernels_(kernels), threads_(threads) {}

  // Rows are read in pairs of inputs.
  static bool takes(const WeightSource& source) { return !source.table && source.inputs % 2 == 0; }
  std::unique_ptr<Bf16Weight> prepare(const WeightSource& source) const;
  // out [rows, outputs] f32 = x W^T (+ out); x bf16.
  void run(const Tensor& x, const Bf16Weight& weight, const Tensor& out, bool accumulate) const;
  // Whether run_heads() can: no panel holds parts of two heads.
  bool splits(int64_t head_size) const {
    return head_size % kernels_.panel == 0 && head_size <= kTileColumns;
  }
  // x W^T, one tile of a head's columns at a time; x bf16.
  void run_heads(const Tensor& x, const Bf16Weight& weight, int64_t head_size, const WriteHead& write) const;
  // Whether run_gated() can: no panel holds gates and what they gate.
  bool gates(const Bf16Weight& weight) const { return weight.outputs % (2 * kernels_.panel) == 0; }
  // out [rows, outputs / 2] bf16 = silu(gate) * up, [gate | up] = x W^T; x bf16.
  void run_gated(const Tensor& x, const Bf16Weight& weight, const Tensor& out) const;

 private:
  const Kernels& kernels_;
  int threads_;
};

}  // namespace claa::cpu
