// Tensors as kernels see them: plain numbers that both compilers understand.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "backend/gate.h"

namespace claa::cuda {

enum class ValueType { kF32, kBf16, kFp8 };

// Arrays that share memory begin on such boundaries.
constexpr size_t whole_lines(size_t bytes) {
  return (bytes + 255) / 256 * 256;
}

struct View {
  void* data = nullptr;
  bool bf16 = false;  // else f32
  int64_t planes = 1, rows = 1, columns = 1;
  int64_t plane_stride = 0, row_stride = 0;  // in elements
};

struct RopeView {
  const float* cos = nullptr;  // [positions, half]
  const float* sin = nullptr;
  int64_t half = 0;  // rotated pairs per head
  bool interleaved = true;
};

// How the rows, groups and heads of window scores are folded; the order of Reduce in claa/scores.h.
enum class Fold { kKeep, kSum, kMax };

}  // namespace claa::cuda
