// A weight of the CPU backend multiplies itself: the backend does not ask for its kind.
#pragma once

#include <functional>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "core/threads.h"

namespace claa::cpu {

// The outputs of one head for the rows from `first` on: sums [rows, head size] f32.
using WriteHead = std::function<void(int64_t head, int64_t first, int64_t rows, const float* sums)>;

class CpuWeight : public PackedWeight {
 public:
  // out [rows, outputs] f32 = x W^T (+ out).
  virtual void multiply(const Tensor& x, const Tensor& out, bool accumulate) const = 0;
  // x W^T, one tile of a head's columns at a time. Returns false, having done nothing, for a weight that does
  // not multiply by heads of this size.
  virtual bool multiply_heads(const Tensor& /*x*/, int64_t /*head_size*/, const WriteHead& /*write*/) const {
    return false;
  }
  // out [rows, outputs / 2] = activation(gate) * up, [gate | up] = x W^T. Returns false, having done nothing,
  // for a weight that cannot multiply gates together with what they gate, or cannot write the type of `out`.
  virtual bool multiply_gated(const Tensor& /*x*/, Activation /*activation*/, const Tensor& /*out*/) const {
    return false;
  }
  // Row `index` as f32, of a table.
  virtual void row(int64_t /*index*/, float* /*to*/) const {
    require(false, "embed: the weight was not prepared as a table");
  }
};

// State that the weights of one backend share. It outlives them.
struct CpuProducts {
  const Kernels& kernels;
  Threads& threads;
  std::vector<float> widened = {};  // bf16 inputs as f32, for weights that are multiplied as f32
};

}  // namespace claa::cpu
