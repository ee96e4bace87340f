// How a device works on rows: what the memory of a prompt follows from, known without the device.
#pragma once

#include <algorithm>
#include <bit>

#include "backend/backend.h"

namespace claa {

struct DeviceRows {
  DType dtype = DType::kF32, wide = DType::kF32;
  int64_t chunk = 0;                            // Backend::chunk_rows()
  std::function<int64_t(int64_t rows)> padded;  // Backend::padded()
  // Bytes of a weight of the source's shape and role as prepare() makes it; empty for a device at hand, whose
  // weights are loaded already.
  std::function<size_t(const WeightSource& shape)> weight_bytes = {};
  // Memory of the process beside weights and prompts: code, libraries and vocabulary. 0 where a plan is of a
  // device's own memory.
  size_t program = 0;
};

// For "cpu", "cuda" or "reference", which need not be there; the cpu is the one at hand.
DeviceRows device_rows(const BackendOptions& options);
inline DeviceRows device_rows(const Backend& backend) {
  return {backend.dtype(), backend.wide_dtype(), backend.chunk_rows(),
          [&backend](int64_t rows) { return backend.padded(rows); }};
}

namespace cuda {

inline constexpr int64_t kChunkRows = 16384;

// Rows of memory for `rows` rows of q, out, K or V, so that a plan of attention for the bucket stays inside:
// an eighth of a power of two apart, at least 64.
inline int64_t padded_rows(int64_t rows) {
  const int64_t step = std::max<int64_t>(
      64, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(rows, 1)))) / 8);
  return (rows + step - 1) / step * step;
}

}  // namespace cuda
namespace cpu {
inline constexpr int64_t kChunkRows = 512;
}
namespace reference {
inline constexpr int64_t kChunkRows = 64;
}
}  // namespace claa
