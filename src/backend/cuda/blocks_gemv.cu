// One row times blocks, as decoding multiplies: a warp reads rows of blocks whole. A row of bf16 or FP8
// becomes integers of 16 bits, with a scale per unit, so that products are sums of integers; f32 is
// multiplied as it is.
#include <cuda_fp8.h>

#include <algorithm>

#include "backend/cuda/block_layouts.cuh"

namespace claa::cuda {
namespace {

using Fp8 = __nv_fp8_e4m3;
constexpr int kThreads = 512, kPlainThreads = 128;  // many warps share a row of integers
constexpr unsigned kBlocks = 264;                   // two for each multiprocessor of a large GPU

// 16 activations.
__device__ void load_unit(const float* x, float (&to)[kUnit]) {
#pragma unroll
  for (int i = 0; i < kUnit; i += 4) {
    const float4 v = *reinterpret_cast<const float4*>(x + i);
    to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
  }
}
__device__ void load_unit(const Bfloat* x, float (&to)[kUnit]) {
#pragma unroll
  for (int i = 0; i < kUnit; i += 8) {
    const uint4 v = *reinterpret_cast<const uint4*>(x + i);
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      to[i + 2 * n] = __uint_as_float(words[n] << 16);
      to[i + 2 * n + 1] = __uint_as_float(words[n] & 0xffff0000u);
    }
  }
}
__device__ void load_unit(const Fp8* x, float (&to)[kUnit]) {
  const uint4 v = *reinterpret_cast<const uint4*>(x);
  const Fp8* values = reinterpret_cast<const Fp8*>(&v);
#pragma unroll
  for (int i = 0; i < kUnit; ++i) to[i] = static_cast<float>(values[i]);
}

struct GemvCall {
  Planes planes;
  int units, outputs;  // units per row
  float factor;
  const float* x_scale;  // null: 1
  void* out;
  bool bf16, accumulate;
  const float* bias = nullptr;  // null: none
};

__device__ void write(const GemvCall& call, int output, float value) {
  value *= call.factor;
  if (call.x_scale != nullptr) value *= *call.x_scale;
  if (call.bias != nullptr) value += call.bias[output];
  if (call.bf16) {
    Bfloat* to = static_cast<Bfloat*>(call.out) + output;
    store(to, call.accumulate ? load(to) + value : value);
  } else {
    float* to = static_cast<float*>(call.out) + output;
    store(to, call.accumulate ? load(to) + value : value);
  }
}
// Sums over the warp, of which one lane writes.
__device__ void write_sum(const GemvCall& call, int row, float sum) {
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  if (threadIdx.x % 32 == 0) write(call, row, sum);
}
template <class Format>
__device__ int64_t first_block(const GemvCall& call, int row) {
  return row * static_cast<int64_t>(call.units / Format::kUnits);
}

// Activations as integers: value = scale * (256 * high + low), high from -128 to 127 and low from 0 to 255.
struct IntegerUnit {
  float scale, sum;  // the sum is of values
};
// Units 2n and 2n + 1 lie in two arrays, so that lanes that read neighbouring pairs read neighbouring memory.
struct IntegerRow {
  uint4* high[2];  // [units / 2]
  uint4* low[2];
  IntegerUnit* units;  // [units]
};
__device__ IntegerRow place_row(uint4* memory, int units) {
  const int pairs = units / 2;
  return {{memory, memory + pairs},
          {memory + 2 * pairs, memory + 3 * pairs},
          reinterpret_cast<IntegerUnit*>(memory + 4 * pairs)};
}

__device__ void round_unit(const float (&x)[kUnit], int unit, const IntegerRow& row) {
  constexpr float kSteps = 32767;
  constexpr int kMagic = 0x4b400000;  // 1.5 * 2^23, to which a small integer is added in the lowest bits
  float largest = 0;
#pragma unroll
  for (int i = 0; i < kUnit; ++i) largest = fmaxf(largest, fabsf(x[i]));
  const float inverse = largest > 0 ? kSteps / largest : 0.0f;
  uint32_t bits[kUnit], high[4], low[4];
  int sum = 0;
#pragma unroll
  for (int i = 0; i < kUnit; ++i) {
    bits[i] = __float_as_uint(fmaf(x[i], inverse, __int_as_float(kMagic)));
    sum += static_cast<int>(bits[i]) - kMagic;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint32_t first = __byte_perm(bits[4 * i], bits[4 * i + 1], 0x5410);
    const uint32_t second = __byte_perm(bits[4 * i + 2], bits[4 * i + 3], 0x5410);
    low[i] = __byte_perm(first, second, 0x6420);
    high[i] = __byte_perm(first, second, 0x7531);
  }
  row.high[unit % 2][unit / 2] = {high[0], high[1], high[2], high[3]};
  row.low[unit % 2][unit / 2] = {low[0], low[1], low[2], low[3]};
  row.units[unit] = {largest / kSteps, largest / kSteps * static_cast<float>(sum)};
}

// sum + the products of four bytes from 0 to 255 with four of the row.
__device__ int dot_high(uint32_t weights, uint32_t high, int sum) {
  asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(sum) : "r"(weights), "r"(high), "r"(sum));
  return sum;
}
__device__ int dot_low(uint32_t weights, uint32_t low, int sum) {
  return static_cast<int>(__dp4a(weights, low, static_cast<uint32_t>(sum)));
}

template <class Format>
__device__ float dot_unit(const Unit& weights, const uint4& high, const uint4& low, const IntegerUnit& x) {
  int above = dot_high(weights.words[0], high.x, 0), below = dot_low(weights.words[0], low.x, 0);
  above = dot_high(weights.words[1], high.y, above), below = dot_low(weights.words[1], low.y, below);
  above = dot_high(weights.words[2], high.z, above), below = dot_low(weights.words[2], low.z, below);
  above = dot_high(weights.words[3], high.w, above), below = dot_low(weights.words[3], low.w, below);
  float sum = x.scale * static_cast<float>(256 * above + below);
  if constexpr (Format::kZero != 0) sum = fmaf(-static_cast<float>(Format::kZero), x.sum, sum);
  sum *= weights.scale;
  return Format::kMinima ? fmaf(-weights.minimum, x.sum, sum) : sum;
}

// Asks for the numbers of a row, which arrive while activations are rounded.
template <class Format>
__device__ void prefetch(const GemvCall& call, int row) {
  const int bytes = call.units / Format::kUnits * Format::kNumbers;
  const uint8_t* numbers = call.planes.numbers + first_block<Format>(call, row) * Format::kNumbers;
  for (int at = threadIdx.x % 32 * 128; at < bytes; at += 32 * 128)
    asm volatile("prefetch.global.L2 [%0];" ::"l"(numbers + at));
}

// The planes from a row on.
template <class Format>
__device__ Planes planes_of_row(const GemvCall& call, int row) {
  const int64_t block = first_block<Format>(call, row);
  return {call.planes.numbers + block * Format::kNumbers, call.planes.bits + block * Format::kBits,
          call.planes.scales + block * Format::kScales, call.planes.grid};
}

// Two neighbouring units of activations.
struct InputPair {
  uint4 high[2], low[2];
  IntegerUnit units[2];
  __device__ InputPair(const IntegerRow& row, unsigned u)
      : high{row.high[0][u / 2], row.high[1][u / 2]},
        low{row.low[0][u / 2], row.low[1][u / 2]},
        units{row.units[u], row.units[u + 1]} {}
};

// Two neighbouring units of a weight, which in most formats share their scale.
template <class Format>
struct UnitPair {
  Unit units[2];
  __device__ UnitPair(const Planes& row, unsigned u) {
    units[0] = Format::read(row, u / Format::kUnits, u % Format::kUnits);
    units[1] = Format::read(row, u / Format::kUnits, u % Format::kUnits + 1);
    if constexpr (Format::kPaired) {  // so that they are decoded once
      units[1].scale = units[0].scale;
      units[1].minimum = units[0].minimum;
    }
  }
  __device__ float dot(const InputPair& x) const {
    return dot_unit<Format>(units[0], x.high[0], x.low[0], x.units[0]) +
           dot_unit<Format>(units[1], x.high[1], x.low[1], x.units[1]);
  }
};

constexpr unsigned kStep = 64;  // units that a warp reads at a time

// One row; the loads of two steps are in flight together.
template <class Format>
__device__ void multiply_row(const GemvCall& call, const IntegerRow& x, int row) {
  const Planes planes = planes_of_row<Format>(call, row);
  const auto units = static_cast<unsigned>(call.units);
  float sum = 0;
  unsigned u = threadIdx.x % 32 * 2;
  for (; u + kStep < units; u += 2 * kStep) {
    const UnitPair<Format> first(planes, u), second(planes, u + kStep);
    sum += first.dot(InputPair(x, u));
    sum += second.dot(InputPair(x, u + kStep));
  }
  if (u < units) sum += UnitPair<Format>(planes, u).dot(InputPair(x, u));
  write_sum(call, row, sum);
}

// Two rows, for which the activations are read once.
template <class Format>
__device__ void multiply_rows(const GemvCall& call, const IntegerRow& x, int row) {
  const Planes first = planes_of_row<Format>(call, row), second = planes_of_row<Format>(call, row + 1);
  float sums[2] = {};
  for (unsigned u = threadIdx.x % 32 * 2; u < static_cast<unsigned>(call.units); u += kStep) {
    const UnitPair<Format> a(first, u), b(second, u);
    const InputPair input(x, u);
    sums[0] += a.dot(input);
    sums[1] += b.dot(input);
  }
  write_sum(call, row, sums[0]);
  write_sum(call, row + 1, sums[1]);
}

// Each warp takes one row after another, or with kRows of two a pair of rows, as many apart as there are
// warps.
template <class Format, int kRows, typename X>
__device__ void multiply_all(const GemvCall& call, const X* x) {
  extern __shared__ uint4 memory[];
  const IntegerRow rounded = place_row(memory, call.units);
  int row = static_cast<int>(blockIdx.x * kThreads + threadIdx.x) / 32 * kRows;
  if (row < call.outputs) prefetch<Format>(call, row);
  for (int u = threadIdx.x; u < call.units; u += kThreads) {
    float values[kUnit];
    load_unit(x + u * kUnit, values);
    round_unit(values, u, rounded);
  }
  __syncthreads();
  for (; row < call.outputs; row += static_cast<int>(gridDim.x) * (kThreads / 32) * kRows) {
    if (kRows == 2 && row + 1 < call.outputs) {
      multiply_rows<Format>(call, rounded, row);
    } else {
      multiply_row<Format>(call, rounded, row);
    }
  }
}

template <class Format, int kRows, typename X>
__global__ void __launch_bounds__(kThreads, 2) gemv_kernel(GemvCall call, const X* x) {
  multiply_all<Format, kRows>(call, x);
}

// blockIdx.y is a choice; the planes of `call` begin with the first expert.
template <class Format>
__global__ void __launch_bounds__(kThreads, 2) chosen_gemv_kernel(GemvCall call, ChosenRows chosen) {
  const int64_t choice = blockIdx.y;
  const int expert = chosen.ids[choice];
  call.planes = planes_of_row<Format>(call, expert * call.outputs);
  call.out = static_cast<Bfloat*>(chosen.out) + choice * chosen.outputs;
  if (chosen.bias != nullptr) call.bias = chosen.bias + expert * chosen.outputs;
  multiply_all<Format, 1>(call, static_cast<const Bfloat*>(chosen.x) + choice / chosen.share * chosen.inputs);
}

template <class Format>
__global__ void __launch_bounds__(kPlainThreads) plain_gemv_kernel(GemvCall call, const float* x) {
  const int row = static_cast<int>(blockIdx.x * kPlainThreads + threadIdx.x) / 32;
  if (row >= call.outputs) return;
  const int64_t block = first_block<Format>(call, row);
  float total = 0;
  for (int u = threadIdx.x % 32; u < call.units; u += 32) {
    const Unit unit = Format::read(call.planes, block + u / Format::kUnits, u % Format::kUnits);
    float values[kUnit], all = 0, sum = 0;
    load_unit(x + u * kUnit, values);
#pragma unroll
    for (int i = 0; i < kUnit; ++i) {
      all += values[i];
      sum = fmaf(number<Format>(unit, i), values[i], sum);
    }
    total = fmaf(unit.scale, sum, total);
    if constexpr (Format::kMinima) total = fmaf(-unit.minimum, all, total);
  }
  write_sum(call, row, total);
}

size_t shared_bytes(int64_t inputs) {
  return static_cast<size_t>(inputs / kUnit) * (2 * sizeof(uint4) + sizeof(IntegerUnit));
}
constexpr size_t kUsualShared = size_t{48} << 10;  // more must be asked for
constexpr size_t kMostShared = size_t{96} << 10;   // all GPUs that this runs on have as much

// The shared memory that a kernel needs for a row of activations.
template <typename Kernel>
size_t share(Kernel* kernel, int64_t inputs) {
  const size_t shared = shared_bytes(inputs);
  if (shared > kUsualShared)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kMostShared));
  return shared;
}

template <class Format, int kRows, typename X>
void launch_rows(const GemvCall& call, const X* x, cudaStream_t stream) {
  const size_t shared = share(gemv_kernel<Format, kRows, X>, static_cast<int64_t>(call.units) * kUnit);
  const unsigned blocks = blocks_for(call.outputs, kThreads / 32 * kRows);
  gemv_kernel<Format, kRows><<<std::min(blocks, kBlocks), kThreads, shared, stream>>>(call, x);
}
// Two rows per warp where that leaves work for all warps.
template <class Format, typename X>
void launch(const GemvCall& call, const X* x, cudaStream_t stream) {
  if (static_cast<unsigned>(call.outputs) >= kBlocks * (kThreads / 32) * 2) {
    launch_rows<Format, 2>(call, x, stream);
  } else {
    launch_rows<Format, 1>(call, x, stream);
  }
}

}  // namespace

bool gemv_blocks_fits(const BlockInput& x, int64_t inputs) {
  return reinterpret_cast<uintptr_t>(x.x) % sizeof(uint4) == 0 && shared_bytes(inputs) <= kMostShared;
}

void gemv_blocks(const BlockInput& x, const BlockPart& part, const View& out, bool accumulate,
                 cudaStream_t stream) {
  const GemvCall call{planes_of(part),
                      static_cast<int>(part.inputs / kUnit),
                      static_cast<int>(part.rows),
                      part.scale * part.factor,
                      x.scale,
                      out.data,
                      out.bf16,
                      accumulate};
  with_format(part.format, [&](auto layout) {
    using Format = decltype(layout);
    switch (x.type) {
      case ValueType::kBf16:
        launch<Format>(call, static_cast<const Bfloat*>(x.x), stream);
        return;
      case ValueType::kFp8:
        launch<Format>(call, static_cast<const Fp8*>(x.x), stream);
        return;
      default:
        plain_gemv_kernel<Format><<<blocks_for(part.rows, kPlainThreads / 32), kPlainThreads, 0, stream>>>(
            call, static_cast<const float*>(x.x));
    }
  });
}

void gemv_chosen_blocks(const ChosenRows& chosen, const BlockPart& part, cudaStream_t stream) {
  const GemvCall call{planes_of(part),
                      static_cast<int>(part.inputs / kUnit),
                      static_cast<int>(chosen.outputs),
                      part.scale * part.factor,
                      nullptr,
                      nullptr,
                      true,
                      false};
  const auto choices = static_cast<unsigned>(chosen.choices);
  const unsigned blocks =
      std::min(blocks_for(chosen.outputs, kThreads / 32), std::max(1u, kBlocks / choices));
  with_format(part.format, [&](auto layout) {
    const size_t shared = share(chosen_gemv_kernel<decltype(layout)>, part.inputs);
    chosen_gemv_kernel<decltype(layout)><<<dim3(blocks, choices), kThreads, shared, stream>>>(call, chosen);
  });
}

}  // namespace claa::cuda
