// Blocks to their planes, and planes to values.
#include <cuda_fp8.h>

#include <algorithm>
#include <iterator>

#include "backend/cuda/block_layouts.cuh"

namespace claa::cuda {
namespace {

using Fp8 = __nv_fp8_e4m3;
constexpr int kThreads = 256;
constexpr float kLargestFp8 = 448;

// What all values are multiplied by, one after the other.
struct Factors {
  float scale, factor;
};
Factors factors_of(const BlockPart& part) {
  return {part.scale, part.factor};
}

struct PlaneTable {
  uint8_t* plane[3];
  int bytes[3];  // of a block
};
template <class Format>
struct Segments {
  Segment list[std::size(Format::kSegments)];
};

// One thread per byte of the file.
template <class Format>
__global__ void repack_kernel(const uint8_t* from, int64_t bytes, int64_t first, PlaneTable planes,
                              Segments<Format> segments) {
  const int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i >= bytes) return;
  const int64_t block = i / Format::kBytes;
  const int at = static_cast<int>(i - block * Format::kBytes);
#pragma unroll
  for (const Segment& segment : segments.list) {
    if (at < segment.from || at >= segment.from + segment.bytes) continue;
    const int plane = static_cast<int>(segment.plane);
    planes.plane[plane][(first + block) * planes.bytes[plane] + segment.to + at - segment.from] = from[i];
  }
}

// Value `i` of a unit, each step rounded as where weights are widened.
template <class Format>
__device__ float value_of(const Unit& unit, int i, Factors factors) {
  float value = __fmul_rn(unit.scale, number<Format>(unit, i));
  if constexpr (Format::kMinima) value = __fsub_rn(value, unit.minimum);
  return __fmul_rn(__fmul_rn(value, factors.scale), factors.factor);
}
template <class Format>
__device__ Unit unit_of(const Planes& planes, int64_t unit) {
  return Format::read(planes, unit / Format::kUnits, static_cast<int>(unit % Format::kUnits));
}

__device__ void store_unit(const float (&v)[kUnit], float /*inverse*/, float* to) {
#pragma unroll
  for (int i = 0; i < kUnit; i += 4)
    *reinterpret_cast<float4*>(to + i) = {v[i], v[i + 1], v[i + 2], v[i + 3]};
}
// Neighbouring lanes hold neighbouring units and exchange halves, so that both write 32 bytes in a row twice.
__device__ void store_unit(const float (&v)[kUnit], float /*inverse*/, Bfloat* to) {
  uint32_t words[2][4];
#pragma unroll
  for (int i = 0; i < kUnit / 2; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(v[2 * i], v[2 * i + 1]);
    words[i / 4][i % 4] = *reinterpret_cast<const uint32_t*>(&pair);
  }
  const bool odd = threadIdx.x % 2 == 1;
  const unsigned mask = __activemask();
  uint32_t kept[4], other[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    kept[i] = odd ? words[1][i] : words[0][i];
    other[i] = __shfl_xor_sync(mask, odd ? words[0][i] : words[1][i], 1);
  }
  uint4* rows = reinterpret_cast<uint4*>(odd ? to - kUnit : to) + (odd ? 1 : 0);
  const uint4 mine{kept[0], kept[1], kept[2], kept[3]}, its{other[0], other[1], other[2], other[3]};
  rows[0] = odd ? its : mine;
  rows[2] = odd ? mine : its;
}
__device__ void store_unit(const float (&v)[kUnit], float inverse, Fp8* to) {
  uint4 packed;
  Fp8* values = reinterpret_cast<Fp8*>(&packed);
#pragma unroll
  for (int i = 0; i < kUnit; ++i) values[i] = Fp8(v[i] * inverse);
  *reinterpret_cast<uint4*>(to) = packed;
}

// One thread per unit; blockIdx.y is a row. `scales` is not null for FP8.
template <class Format, typename T>
__global__ void unpack_kernel(Planes planes, int64_t first_row, int units, Factors factors,
                              const float* scales, T* to) {
  const int u = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (u >= units) return;
  const int64_t row = (first_row + blockIdx.y) * (units / Format::kUnits);
  const Unit unit = Format::read(planes, row + u / Format::kUnits, u % Format::kUnits);
  float v[kUnit];
#pragma unroll
  for (int n = 0; n < kUnit; ++n) v[n] = value_of<Format>(unit, n, factors);
  const float inverse = scales == nullptr ? 1.0f : 1.0f / scales[blockIdx.y];
  store_unit(v, inverse, to + (static_cast<int64_t>(blockIdx.y) * units + u) * kUnit);
}

// One block per row of `out`, whose `columns` columns are those of the table from `first` on.
template <class Format>
__global__ void embed_kernel(Planes planes, const int32_t* ids, int units, Factors factors, float scale,
                             bool bf16, int first, int columns, float* out, int64_t stride) {
  const int64_t row = ids[blockIdx.x] * static_cast<int64_t>(units);
  out += blockIdx.x * stride;
  for (int u = first / kUnit + static_cast<int>(threadIdx.x); u * kUnit < first + columns; u += blockDim.x) {
    const Unit unit = unit_of<Format>(planes, row + u);
#pragma unroll
    for (int i = 0; i < kUnit; ++i) {
      const int c = u * kUnit + i - first;
      const float value = value_of<Format>(unit, i, factors);
      if (c >= 0 && c < columns) out[c] = scale * (bf16 ? __bfloat162float(__float2bfloat16(value)) : value);
    }
  }
}

// One block per row.
template <class Format>
__global__ void row_scale_kernel(Planes planes, int units, Factors factors, float* scales) {
  const int64_t first = blockIdx.x * static_cast<int64_t>(units);
  float largest = 0;
  for (int u = threadIdx.x; u < units; u += blockDim.x) {
    const Unit unit = unit_of<Format>(planes, first + u);
#pragma unroll
    for (int i = 0; i < kUnit; ++i) largest = fmaxf(largest, fabsf(value_of<Format>(unit, i, factors)));
  }
  largest = block_reduce(largest, Larger{});
  if (threadIdx.x == 0) scales[blockIdx.x] = largest > 0 ? largest / kLargestFp8 : 1.0f;
}

template <class Format>
__global__ void finite_kernel(Planes planes, int64_t count, int units, Factors factors, int* row) {
  const int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i >= count) return;
  const Unit unit = unit_of<Format>(planes, i);
  bool finite = true;
#pragma unroll
  for (int n = 0; n < kUnit; ++n) finite &= isfinite(value_of<Format>(unit, n, factors));
  if (!finite) atomicMin(row, static_cast<int>(i / units));
}

template <class Format>
int64_t blocks_of(int64_t values) {
  return values / Format::kValues;
}

}  // namespace

size_t block_plane_bytes(BlockFormat format, int64_t values) {
  size_t bytes = 0;
  with_format(format, [&](auto layout) {
    using Format = decltype(layout);
    const auto blocks = static_cast<size_t>(blocks_of<Format>(values));
    bytes = whole_lines(blocks * Format::kNumbers) + whole_lines(blocks * Format::kBits) +
            whole_lines(blocks * Format::kScales);
  });
  return bytes;
}

void place_planes(void* memory, BlockPart& part) {
  with_format(part.format, [&](auto layout) {
    using Format = decltype(layout);
    const auto blocks = static_cast<size_t>(blocks_of<Format>(part.rows * part.inputs));
    part.numbers = static_cast<uint8_t*>(memory);
    part.bits = part.numbers + whole_lines(blocks * Format::kNumbers);
    part.scales = part.bits + whole_lines(blocks * Format::kBits);
  });
}

void repack_blocks(const void* from, int64_t first, int64_t blocks, const BlockPart& part,
                   cudaStream_t stream) {
  with_format(part.format, [&](auto layout) {
    using Format = decltype(layout);
    Segments<Format> segments;
    for (size_t i = 0; i < std::size(segments.list); ++i) segments.list[i] = Format::kSegments[i];
    const PlaneTable planes{{part.numbers, part.bits, part.scales},
                            {Format::kNumbers, Format::kBits, Format::kScales}};
    const int64_t bytes = blocks * Format::kBytes;
    repack_kernel<Format><<<blocks_for(bytes, kThreads), kThreads, 0, stream>>>(
        static_cast<const uint8_t*>(from), bytes, first, planes, segments);
  });
}

void find_row_scales(const BlockPart& part, float* scales, cudaStream_t stream) {
  with_format(part.format, [&](auto layout) {
    row_scale_kernel<decltype(layout)><<<static_cast<unsigned>(part.rows), kThreads, 0, stream>>>(
        planes_of(part), static_cast<int>(part.inputs / kUnit), factors_of(part), scales);
  });
}

void find_not_finite(const BlockPart& part, int* row, cudaStream_t stream) {
  with_format(part.format, [&](auto layout) {
    const int64_t count = part.rows * part.inputs / kUnit;
    finite_kernel<decltype(layout)><<<blocks_for(count, kThreads), kThreads, 0, stream>>>(
        planes_of(part), count, static_cast<int>(part.inputs / kUnit), factors_of(part), row);
  });
}

void unpack_blocks(const BlockPart& part, int64_t first, int64_t rows, const UnpackedRows& to,
                   cudaStream_t stream) {
  constexpr int64_t kMostRows = 65535;  // of a grid
  const int units = static_cast<int>(part.inputs / kUnit);
  with_format(part.format, [&](auto layout) {
    using Format = decltype(layout);
    const auto launch = [&](auto* values) {
      for (int64_t row = 0; row < rows; row += kMostRows) {
        const dim3 grid(blocks_for(units, kThreads), static_cast<unsigned>(std::min(kMostRows, rows - row)));
        unpack_kernel<Format><<<grid, kThreads, 0, stream>>>(
            planes_of(part), first + row, units, factors_of(part),
            to.scales == nullptr ? nullptr : to.scales + row, values + row * part.inputs);
      }
    };
    switch (to.type) {
      case ValueType::kBf16:
        return launch(static_cast<Bfloat*>(to.data));
      case ValueType::kFp8:
        return launch(static_cast<Fp8*>(to.data));
      default:
        return launch(static_cast<float*>(to.data));
    }
  });
}

void embed_blocks(const BlockPart& part, const int32_t* ids, float scale, bool bf16, int64_t first,
                  const View& out, cudaStream_t stream) {
  with_format(part.format, [&](auto layout) {
    embed_kernel<decltype(layout)><<<static_cast<unsigned>(out.rows), kThreads, 0, stream>>>(
        planes_of(part), ids, static_cast<int>(part.inputs / kUnit), factors_of(part), scale, bf16,
        static_cast<int>(first), static_cast<int>(out.columns), data_of<float>(out), out.row_stride);
  });
}

}  // namespace claa::cuda
