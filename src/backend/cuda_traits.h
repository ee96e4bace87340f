// The traits of the CUDA backend, which others plan with where it is not there.
#pragma once

#include <algorithm>
#include <bit>
#include <numeric>

#include "backend/backend.h"
#include "core/usize.h"

namespace claa::cuda {

inline constexpr int64_t kChunkRows = 16384, kExpertRows = 8192;
inline constexpr size_t kUnpackedBytes = size_t{64} << 20, kUnpackedExpertBytes = size_t{256} << 20;

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
  if (options.dtype == DType::kBF16 && !options.fp8) traits.expert_rows = kExpertRows;
  if (options.resident) traits.unpacked_bytes = kUnpackedBytes;
  if (options.resident && traits.expert_rows > 0) traits.unpacked_expert_bytes = kUnpackedExpertBytes;
  return traits;
}

// True if there are kernels for these blocks.
inline bool multiplies(const TypedBlocks& blocks) {
  const std::optional<BlockFormat> format = block_format(blocks.type);
  return format.has_value() && *format < BlockFormat::kF16;
}

// True if blocks can be one part with others.
inline bool are_alike(const TypedBlocks& a, const TypedBlocks& b) {
  return a.type == b.type && a.scale == b.scale;
}

// True if a resident weight stays the blocks of its file. Experts do in bf16 alone, and only those whose
// blocks are all alike: one kernel serves whatever experts were chosen on the device.
inline bool stays_blocks(const BackendOptions& options, const WeightSource& source) {
  const auto is_like_first = [&](const TypedBlocks& blocks) { return are_alike(blocks, source.blocks[0]); };
  if (!options.resident || source.blocks.empty() || source.column_factors != nullptr) return false;
  const bool one_kind = std::all_of(source.blocks.begin(), source.blocks.end(), is_like_first);
  if (source.expert && (cuda::device_traits(options).expert_rows == 0 || !one_kind)) return false;
  return std::all_of(source.blocks.begin(), source.blocks.end(), multiplies);
}

inline size_t weight_bytes(const BackendOptions& options, const WeightSource& shape) {
  const auto values = usize(shape.outputs * shape.inputs);
  const bool fp8 = options.fp8 && !shape.table;
  const size_t scales = fp8 ? usize(shape.outputs) * sizeof(float) : 0;
  if (stays_blocks(options, shape)) {
    return std::accumulate(shape.blocks.begin(), shape.blocks.end(), scales,
                           [](size_t sum, const TypedBlocks& blocks) { return sum + blocks.data.size(); });
  }
  return values * (fp8 ? 1 : dtype_bytes(options.dtype)) + scales;
}

}  // namespace claa::cuda
