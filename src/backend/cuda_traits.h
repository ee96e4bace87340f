// The traits of the CUDA backend, which others plan with where it is not there.
#pragma once

#include <algorithm>
#include <bit>

#include "backend/backend.h"
#include "core/usize.h"

namespace claa::cuda {

inline constexpr int64_t kChunkRows = 16384;

// Rows of memory for `rows` rows of q, out, K or V, so that a plan of attention for the bucket stays inside:
// an eighth of a power of two apart, at least 64.
inline int64_t padded_rows(int64_t rows) {
  const int64_t step = std::max<int64_t>(
      64, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(rows, 1)))) / 8);
  return (rows + step - 1) / step * step;
}

inline DeviceTraits device_traits(const BackendOptions& options) {
  DeviceTraits traits;
  traits.dtype = traits.wide = options.dtype;
  traits.linear = options.fp8 ? DType::kF8 : options.dtype;
  traits.chunk_rows = kChunkRows;
  traits.padded = padded_rows;
  return traits;
}

inline size_t weight_bytes(const BackendOptions& options, const WeightSource& shape) {
  const auto values = usize(shape.outputs * shape.inputs);
  if (!options.fp8 || shape.table) return values * dtype_bytes(options.dtype);
  return values + usize(shape.outputs) * sizeof(float);  // one scale per row
}

}  // namespace claa::cuda
