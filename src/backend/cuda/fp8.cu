#include "backend/cuda/fp8.h"

#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "backend/cuda/device.cuh"

namespace claa::cuda {
namespace {

using Fp8 = __nv_fp8_e4m3;
constexpr int kThreads = 256;
constexpr float kLargest = 448;

template <typename T>
__global__ void quantize_kernel(const T* x, int64_t stride, int columns, Fp8* out, float* scales) {
  x += blockIdx.x * stride;
  out += blockIdx.x * static_cast<int64_t>(columns);
  float largest = 0;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) largest = fmaxf(largest, fabsf(load(x + c)));
  largest = block_reduce(largest, Larger{});
  const float scale = largest > 0 ? largest / kLargest : 1.0f, inverse = 1.0f / scale;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) out[c] = Fp8(load(x + c) * inverse);
  if (threadIdx.x == 0) scales[blockIdx.x] = scale;
}

// Eight values per thread and load.
__global__ void quantize_bf16_kernel(const Bfloat* x, int64_t stride, int columns, Fp8* out, float* scales) {
  x += blockIdx.x * stride;
  out += blockIdx.x * static_cast<int64_t>(columns);
  float largest = 0;
  for (int c = threadIdx.x * 8; c < columns; c += blockDim.x * 8) {
    const uint4 raw = *reinterpret_cast<const uint4*>(x + c);
    const Bfloat* values = reinterpret_cast<const Bfloat*>(&raw);
#pragma unroll
    for (int i = 0; i < 8; ++i) largest = fmaxf(largest, fabsf(load(values + i)));
  }
  largest = block_reduce(largest, Larger{});
  const float scale = largest > 0 ? largest / kLargest : 1.0f, inverse = 1.0f / scale;
  for (int c = threadIdx.x * 8; c < columns; c += blockDim.x * 8) {
    const uint4 raw = *reinterpret_cast<const uint4*>(x + c);
    const Bfloat* values = reinterpret_cast<const Bfloat*>(&raw);
    uint2 packed;
    Fp8* to = reinterpret_cast<Fp8*>(&packed);
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] = Fp8(load(values + i) * inverse);
    *reinterpret_cast<uint2*>(out + c) = packed;
  }
  if (threadIdx.x == 0) scales[blockIdx.x] = scale;
}

// Four values as FP8, the first in the lowest byte.
__device__ unsigned pack4(float a, float b, float c, float d) {
  const unsigned low = __nv_cvt_float2_to_fp8x2({a, b}, __NV_SATFINITE, __NV_E4M3);
  const unsigned high = __nv_cvt_float2_to_fp8x2({c, d}, __NV_SATFINITE, __NV_E4M3);
  return low | high << 16;
}

// One block per row. Both sums over the row are found in one pass: the norm scales all values alike, so the
// largest of x * weight is also the largest of the result.
__global__ void rms_norm_kernel(const float* x, int64_t stride, const float* weight, float eps, int columns,
                                Fp8* out, float* scales) {
  x += blockIdx.x * stride;
  out += blockIdx.x * static_cast<int64_t>(columns);
  float squares = 0, largest = 0;
  const bool vectors = columns % 4 == 0 && stride % 4 == 0;
  const int step = vectors ? 4 : 1;
  for (int c = threadIdx.x * step; c < columns; c += blockDim.x * step) {
    if (vectors) {
      const float4 v = *reinterpret_cast<const float4*>(x + c),
                   w = *reinterpret_cast<const float4*>(weight + c);
      squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
      largest = fmaxf(largest, fmaxf(fmaxf(fabsf(v.x * w.x), fabsf(v.y * w.y)),
                                     fmaxf(fabsf(v.z * w.z), fabsf(v.w * w.w))));
    } else {
      squares += x[c] * x[c];
      largest = fmaxf(largest, fabsf(x[c] * weight[c]));
    }
  }
  const float norm = 1.0f / sqrtf(block_reduce(squares, Add{}) / static_cast<float>(columns) + eps);
  largest = block_reduce(largest, Larger{});
  const float factor = largest > 0 ? kLargest / largest : 1.0f;
  for (int c = threadIdx.x * step; c < columns; c += blockDim.x * step) {
    if (vectors) {
      const float4 v = *reinterpret_cast<const float4*>(x + c),
                   w = *reinterpret_cast<const float4*>(weight + c);
      *reinterpret_cast<unsigned*>(out + c) =
          pack4(v.x * w.x * factor, v.y * w.y * factor, v.z * w.z * factor, v.w * w.w * factor);
    } else {
      out[c] = Fp8(x[c] * weight[c] * factor);
    }
  }
  if (threadIdx.x == 0) scales[blockIdx.x] = largest > 0 ? largest * norm / kLargest : 1.0f;
}

constexpr int kGateThreads = 512;

// One block per row, whose threads hold its values between the two passes: up to kHeld vectors of eight each.
template <int kHeld>
__global__ void __launch_bounds__(kGateThreads)
    gate_held_kernel(Activation activation, const Bfloat* gate_up, int64_t stride, int columns, Fp8* out,
                     float* scales) {
  gate_up += blockIdx.x * stride;
  out += blockIdx.x * static_cast<int64_t>(columns);
  float held[kHeld][8], largest = 0;
#pragma unroll
  for (int n = 0; n < kHeld; ++n) {
    const int c = (threadIdx.x + n * kGateThreads) * 8;
    if (c >= columns) break;
    const uint4 g = *reinterpret_cast<const uint4*>(gate_up + c),
                u = *reinterpret_cast<const uint4*>(gate_up + columns + c);
    const Bfloat* gates = reinterpret_cast<const Bfloat*>(&g);
    const Bfloat* ups = reinterpret_cast<const Bfloat*>(&u);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      held[n][i] = gate_times(activation, load(gates + i), load(ups + i));
      largest = fmaxf(largest, fabsf(held[n][i]));
    }
  }
  largest = block_reduce(largest, Larger{});
  const float factor = largest > 0 ? kLargest / largest : 1.0f;
#pragma unroll
  for (int n = 0; n < kHeld; ++n) {
    const int c = (threadIdx.x + n * kGateThreads) * 8;
    if (c >= columns) break;
    const float* v = held[n];
    *reinterpret_cast<uint2*>(out + c) = {pack4(v[0] * factor, v[1] * factor, v[2] * factor, v[3] * factor),
                                          pack4(v[4] * factor, v[5] * factor, v[6] * factor, v[7] * factor)};
  }
  if (threadIdx.x == 0) scales[blockIdx.x] = largest > 0 ? largest / kLargest : 1.0f;
}

// For any shape: the values are computed twice.
__global__ void gate_kernel(Activation activation, const Bfloat* gate_up, int64_t stride, int columns,
                            Fp8* out, float* scales) {
  gate_up += blockIdx.x * stride;
  out += blockIdx.x * static_cast<int64_t>(columns);
  float largest = 0;
  for (int c = threadIdx.x; c < columns; c += blockDim.x)
    largest = fmaxf(largest, fabsf(gate_times(activation, load(gate_up + c), load(gate_up + columns + c))));
  largest = block_reduce(largest, Larger{});
  const float factor = largest > 0 ? kLargest / largest : 1.0f;
  for (int c = threadIdx.x; c < columns; c += blockDim.x)
    out[c] = Fp8(gate_times(activation, load(gate_up + c), load(gate_up + columns + c)) * factor);
  if (threadIdx.x == 0) scales[blockIdx.x] = largest > 0 ? largest / kLargest : 1.0f;
}

constexpr int kGemvThreads = 128, kGemvRows = 2,
              kGemvLoads = 4;  // rows per warp; loads of a row in flight at once
constexpr int kPerLoad = 16;   // FP8 values in 16 bytes

__device__ void widen(const uint4& raw, float (&values)[kPerLoad]) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const auto pair = static_cast<__nv_fp8x2_storage_t>(words[i / 2] >> (i % 2 * 16));
    const __half2_raw halves = __nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3);
    const float2 both = __half22float2(__half2(halves));
    values[2 * i] = both.x, values[2 * i + 1] = both.y;
  }
}
__device__ void load_values(const Fp8* x, float (&values)[kPerLoad]) {
  widen(*reinterpret_cast<const uint4*>(x), values);
}
__device__ void load_values(const Bfloat* x, float (&values)[kPerLoad]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint4 raw = reinterpret_cast<const uint4*>(x)[half];
    const Bfloat* from = reinterpret_cast<const Bfloat*>(&raw);
#pragma unroll
    for (int i = 0; i < 8; ++i) values[8 * half + i] = load(from + i);
  }
}

// kGemvRows rows of the weight per warp; `vectors` loads of 16 bytes per row.
template <typename X, typename Out>
__global__ void __launch_bounds__(kGemvThreads)
    gemv_kernel(const X* x, const float* x_scale, const uint4* weight, const float* w_scales, int vectors,
                int outputs, Out* out, bool accumulate) {
  const int lane = threadIdx.x % 32;
  const int first = static_cast<int>((blockIdx.x * kGemvThreads + threadIdx.x) / 32) * kGemvRows;
  if (first >= outputs) return;
  const uint4* rows[kGemvRows];
  float sums[kGemvRows] = {};
#pragma unroll
  for (int r = 0; r < kGemvRows; ++r)
    rows[r] = weight + static_cast<int64_t>(min(first + r, outputs - 1)) * vectors;
  for (int begin = lane; begin < vectors; begin += 32 * kGemvLoads) {
    uint4 w[kGemvRows][kGemvLoads];
#pragma unroll
    for (int r = 0; r < kGemvRows; ++r) {
#pragma unroll
      for (int n = 0; n < kGemvLoads; ++n) {
        const int c = begin + 32 * n;
        w[r][n] = c < vectors ? load_once(rows[r] + c) : uint4{0, 0, 0, 0};
      }
    }
#pragma unroll
    for (int n = 0; n < kGemvLoads; ++n) {
      if (begin + 32 * n >= vectors) break;
      float values[kPerLoad];
      load_values(x + (begin + 32 * n) * kPerLoad, values);
#pragma unroll
      for (int r = 0; r < kGemvRows; ++r) {
        float weights[kPerLoad];
        widen(w[r][n], weights);
#pragma unroll
        for (int i = 0; i < kPerLoad; ++i) sums[r] = fmaf(weights[i], values[i], sums[r]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kGemvRows; ++r) {
    for (int offset = 16; offset > 0; offset /= 2) sums[r] += __shfl_xor_sync(~0u, sums[r], offset);
    if (lane != 0 || first + r >= outputs) continue;
    const float sum = sums[r] * w_scales[first + r] * (x_scale != nullptr ? *x_scale : 1.0f);
    store(out + first + r, accumulate ? load(out + first + r) + sum : sum);
  }
}

template <typename Out>
__global__ void linear_kernel(const Fp8* x, const float* x_scales, const Fp8* weight, const float* w_scales,
                              int64_t inputs, Out* out, int64_t out_stride, int64_t outputs,
                              bool accumulate) {
  const int64_t o = blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x, row = blockIdx.x;
  if (o >= outputs) return;
  float sum = 0;
  for (int64_t i = 0; i < inputs; ++i) {
    sum = fmaf(static_cast<float>(x[row * inputs + i]), static_cast<float>(weight[o * inputs + i]), sum);
  }
  Out* to = out + row * out_stride + o;
  sum *= x_scales[row] * w_scales[o];
  store(to, accumulate ? load(to) + sum : sum);
}

}  // namespace

void quantize_rows(const View& x, void* out, float* scales, cudaStream_t stream) {
  const unsigned rows = static_cast<unsigned>(x.rows);
  const int columns = static_cast<int>(x.columns);
  Fp8* to = static_cast<Fp8*>(out);
  if (x.bf16 && columns % 8 == 0 && x.row_stride % 8 == 0) {
    quantize_bf16_kernel<<<rows, kThreads, 0, stream>>>(data_of<Bfloat>(x), x.row_stride, columns, to,
                                                        scales);
    return;
  }
  with_type(x, [&](auto* from) {
    quantize_kernel<<<rows, kThreads, 0, stream>>>(from, x.row_stride, columns, to, scales);
  });
}

void rms_norm_fp8(const View& x, const float* weight, float eps, void* out, float* scales,
                  cudaStream_t stream) {
  rms_norm_kernel<<<static_cast<unsigned>(x.rows), kThreads, 0, stream>>>(
      data_of<float>(x), x.row_stride, weight, eps, static_cast<int>(x.columns), static_cast<Fp8*>(out),
      scales);
}

void gate_fp8(const View& gate_up, Activation activation, void* out, float* scales, cudaStream_t stream) {
  const unsigned rows = static_cast<unsigned>(gate_up.rows);
  const int columns = static_cast<int>(gate_up.columns / 2);
  const Bfloat* from = data_of<Bfloat>(gate_up);
  Fp8* to = static_cast<Fp8*>(out);
  constexpr int kFew = 4, kMany = 8, kAtOnce = kGateThreads * 8;
  const bool vectors = columns % 8 == 0 && gate_up.row_stride % 8 == 0;
  if (vectors && columns <= kFew * kAtOnce) {
    gate_held_kernel<kFew>
        <<<rows, kGateThreads, 0, stream>>>(activation, from, gate_up.row_stride, columns, to, scales);
  } else if (vectors && columns <= kMany * kAtOnce) {
    gate_held_kernel<kMany>
        <<<rows, kGateThreads, 0, stream>>>(activation, from, gate_up.row_stride, columns, to, scales);
  } else {
    gate_kernel<<<rows, kThreads, 0, stream>>>(activation, from, gate_up.row_stride, columns, to, scales);
  }
}

bool gemv_fp8_fits(const Fp8Row& row, const void* w, int64_t inputs) {
  const auto addresses = reinterpret_cast<uintptr_t>(row.x) | reinterpret_cast<uintptr_t>(w);
  return inputs % kPerLoad == 0 && addresses % sizeof(uint4) == 0;
}

void gemv_fp8(const Fp8Row& row, const void* w, const float* w_scales, int64_t inputs, const View& out,
              bool accumulate, cudaStream_t stream) {
  const unsigned blocks = blocks_for(out.columns, kGemvThreads / 32 * kGemvRows);
  const auto launch = [&](auto* x, auto* to) {
    gemv_kernel<<<blocks, kGemvThreads, 0, stream>>>(x, row.scale, static_cast<const uint4*>(w), w_scales,
                                                     static_cast<int>(inputs / kPerLoad),
                                                     static_cast<int>(out.columns), to, accumulate);
  };
  with_type(out, [&](auto* to) {
    if (row.scale != nullptr) {
      launch(static_cast<const Fp8*>(row.x), to);
    } else {
      launch(static_cast<const Bfloat*>(row.x), to);
    }
  });
}

void linear_fp8_naive(const void* x, const float* x_scales, const void* weight, const float* w_scales,
                      int64_t inputs, const View& out, bool accumulate, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(out.rows), blocks_for(out.columns, kThreads));
  with_type(out, [&](auto* to) {
    linear_kernel<<<grid, kThreads, 0, stream>>>(static_cast<const Fp8*>(x), x_scales,
                                                 static_cast<const Fp8*>(weight), w_scales, inputs, to,
                                                 out.row_stride, out.columns, accumulate);
  });
}

}  // namespace claa::cuda
