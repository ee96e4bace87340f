// A weight of the CPU backend multiplies itself: the backend does not ask for its kind.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/aligned.h"
#include "backend/cpu/block_kernels.h"
#include "backend/cpu/kernels.h"
#include "core/threads.h"
#include "core/usize.h"

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
  // Columns [first, first + count) of row `index` as f32, of a table.
  virtual void row(int64_t /*index*/, int64_t /*first*/, int64_t /*count*/, float* /*to*/) const {
    require(false, "embed: the weight was not prepared as a table");
  }
};

// Memory of each thread, as large as the largest use of it.
class ThreadScratch {
 public:
  void reserve(const Threads& threads, size_t bytes) {
    of_threads_.resize(usize(threads.count()));
    for (AlignedVector<std::byte>& memory : of_threads_) memory.resize(std::max(memory.size(), bytes));
  }
  std::byte* of(int thread) { return of_threads_[usize(thread)].data(); }

 private:
  std::vector<AlignedVector<std::byte>> of_threads_;
};

// State that the weights of one backend share. It outlives them.
struct CpuProducts {
  const Kernels& kernels;
  Threads& threads;
  const BlockKernels& blocks = kBlockKernelsAvx2;
  std::vector<float> widened = {};  // bf16 inputs as f32, for weights that are multiplied as f32
  ThreadScratch unpacked = {};      // panels of weights that stay blocks
  bool decoding = false;            // within a decode step, whose rows may be rounded
};

}  // namespace claa::cpu
