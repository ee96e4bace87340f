// The kernels of products.h: for one row a warp reads rows of the weight whole, and where nothing else fits a
// thread computes one value.
#include "backend/cuda/device.cuh"
#include "backend/cuda/products.h"

namespace claa::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T, typename Out>
__global__ void linear_kernel(const T* x, int64_t x_stride, const T* weight, Out* out, int64_t out_stride,
                              int64_t outputs, int64_t inputs, bool accumulate) {
  const int64_t o = blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (o >= outputs) return;
  x += blockIdx.x * x_stride;
  Out* to = out + blockIdx.x * out_stride + o;
  float sum = accumulate ? load(to) : 0.0f;
  for (int64_t i = 0; i < inputs; ++i) sum = fmaf(load(x + i), load(weight + o * inputs + i), sum);
  store(to, sum);
}

constexpr int kGemvThreads = 128, kGemvRows = 2,
              kGemvLoads = 4;  // rows per warp; loads of a row in flight at once

// Both halves of a word as f32: the upper one is a bf16 with other bits behind it, which are masked off.
__device__ float low_half(unsigned word) {
  return __uint_as_float(word << 16);
}
__device__ float high_half(unsigned word) {
  return __uint_as_float(word & 0xffff0000u);
}
__device__ float dot8(const uint4& a, const uint4& b, float sum) {
  const unsigned left[4] = {a.x, a.y, a.z, a.w}, right[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    sum = fmaf(low_half(left[i]), low_half(right[i]), sum);
    sum = fmaf(high_half(left[i]), high_half(right[i]), sum);
  }
  return sum;
}

// kGemvRows rows of the weight per warp; `vectors` loads of 16 bytes per row.
template <typename Out>
__global__ void __launch_bounds__(kGemvThreads)
    gemv_kernel(const uint4* x, const uint4* weight, int64_t stride, int vectors, int outputs, Out* out,
                bool accumulate) {
  const int lane = threadIdx.x % 32;
  const int first = static_cast<int>((blockIdx.x * kGemvThreads + threadIdx.x) / 32) * kGemvRows;
  if (first >= outputs) return;
  const uint4* rows[kGemvRows];
  float sums[kGemvRows] = {};
#pragma unroll
  for (int r = 0; r < kGemvRows; ++r) rows[r] = weight + min(first + r, outputs - 1) * stride;
  int c = lane;
  for (; c + 32 * (kGemvLoads - 1) < vectors; c += 32 * kGemvLoads) {
    uint4 w[kGemvRows][kGemvLoads];
#pragma unroll
    for (int r = 0; r < kGemvRows; ++r) {
#pragma unroll
      for (int n = 0; n < kGemvLoads; ++n) w[r][n] = load_once(rows[r] + c + 32 * n);
    }
#pragma unroll
    for (int n = 0; n < kGemvLoads; ++n) {
      const uint4 values = x[c + 32 * n];
#pragma unroll
      for (int r = 0; r < kGemvRows; ++r) sums[r] = dot8(w[r][n], values, sums[r]);
    }
  }
  for (; c < vectors; c += 32) {
#pragma unroll
    for (int r = 0; r < kGemvRows; ++r) sums[r] = dot8(load_once(rows[r] + c), x[c], sums[r]);
  }
#pragma unroll
  for (int r = 0; r < kGemvRows; ++r) {
    for (int offset = 16; offset > 0; offset /= 2) sums[r] += __shfl_xor_sync(~0u, sums[r], offset);
    if (lane == 0 && first + r < outputs)
      store(out + first + r, accumulate ? load(out + first + r) + sums[r] : sums[r]);
  }
}

}  // namespace

bool gemv_fits(const View& x, const View& weight) {
  constexpr int64_t kValues = sizeof(uint4) / sizeof(Bfloat);
  const auto addresses = reinterpret_cast<uintptr_t>(x.data) | reinterpret_cast<uintptr_t>(weight.data);
  return x.rows == 1 && x.bf16 && weight.bf16 && x.columns % kValues == 0 &&
         weight.row_stride % kValues == 0 && addresses % sizeof(uint4) == 0;
}

void gemv(const View& x, const View& weight, const View& out, bool accumulate, cudaStream_t stream) {
  constexpr int64_t kValues = sizeof(uint4) / sizeof(Bfloat);
  const unsigned blocks = blocks_for(weight.rows, kGemvThreads / 32 * kGemvRows);
  with_type(out, [&](auto* to) {
    gemv_kernel<<<blocks, kGemvThreads, 0, stream>>>(
        data_of<uint4>(x), data_of<uint4>(weight), weight.row_stride / kValues,
        static_cast<int>(x.columns / kValues), static_cast<int>(weight.rows), to, accumulate);
  });
}

void linear_naive(const View& x, const View& weight, const View& out, bool accumulate, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(x.rows), blocks_for(weight.rows, kThreads));
  with_type(x, [&](auto* from) {
    using T = std::remove_pointer_t<decltype(from)>;
    with_type(out, [&](auto* to) {
      linear_kernel<<<grid, kThreads, 0, stream>>>(from, x.row_stride, data_of<T>(weight), to, out.row_stride,
                                                   weight.rows, weight.columns, accumulate);
    });
  });
}

}  // namespace claa::cuda
