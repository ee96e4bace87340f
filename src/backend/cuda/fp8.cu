#include "backend/cuda/fp8.h"

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

// Eight values a thread and load.
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
