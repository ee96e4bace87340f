// Code that the kernels share: loads and stores of both activation types, and sums over a block.
#pragma once

#include <cuda_bf16.h>

#include "backend/cuda/view.h"

namespace claa::cuda {

using Bfloat = __nv_bfloat16;

__device__ inline float load(const float* p) {
  return *p;
}
__device__ inline float load(const Bfloat* p) {
  return __bfloat162float(*p);
}
__device__ inline void store(float* p, float value) {
  *p = value;
}
__device__ inline void store(Bfloat* p, float value) {
  *p = __float2bfloat16(value);
}

// Loads 16 bytes that are read only once, without evicting what is read again.
__device__ inline uint4 load_once(const uint4* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
}
__device__ inline float soft_capped(float x, float cap) {
  return cap * tanhf(x / cap);
}

// All are the gate times the logistic function of something; the GELU's is that of the form with tanh.
__device__ inline float gate_times(Activation activation, float gate, float up) {
  constexpr float kCubic = 0.044715f, kScale = 1.5957691216057308f;  // 2 sqrt(2 / pi)
  float inner = gate;
  if (activation == Activation::kGelu) {
    inner = kScale * gate * (1.0f + kCubic * gate * gate);
  } else if (activation == Activation::kClamped) {
    gate = fminf(gate, kClampedLimit);
    inner = kClampedSlope * gate;
    up = fminf(fmaxf(up, -kClampedLimit), kClampedLimit) + 1.0f;
  }
  return gate / (1.0f + expf(-inner)) * up;
}

// c += a b of 16 x 16 and 16 x 8 values, distributed over a warp as the instruction expects.
__device__ inline void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <typename T>
T* data_of(const View& view) {
  return static_cast<T*>(view.data);
}

// Calls f(T*) with the type of the view's elements.
template <typename F>
void with_type(const View& view, F&& f) {
  if (view.bf16) {
    f(data_of<Bfloat>(view));
  } else {
    f(data_of<float>(view));
  }
}

inline unsigned blocks_for(int64_t items, int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

struct Add {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Combines one value per thread over the block; every thread gets the result. blockDim.x is a multiple of 32.
template <typename T, typename Op>
__device__ T block_reduce(T value, Op op) {
  __shared__ T partial[32];
  for (int offset = 16; offset > 0; offset /= 2) value = op(value, __shfl_xor_sync(~0u, value, offset));
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  __syncthreads();  // an earlier call may still be read
  if (threadIdx.x % 32 == 0) partial[warp] = value;
  __syncthreads();
  value = partial[0];
  for (int w = 1; w < warps; ++w) value = op(value, partial[w]);
  return value;
}

}  // namespace claa::cuda
