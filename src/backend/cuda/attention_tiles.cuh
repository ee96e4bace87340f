// Declarations that the attention kernels share, and the entry to the kernels that work on tiles of rows.
#pragma once

#include "backend/cuda/device.cuh"

namespace claa::cuda {

// Strides are in elements.
template <typename T>
struct Inputs {
  const T *q, *k, *v;
  T* out;
  const int32_t *first, *visible;  // first: null without a sliding window
  int64_t q_stride, out_stride, k_plane, v_plane, k_stride, v_stride;
  int rows, group, head_size, length;
  float scale;
  float soft_cap;      // of scaled products; 0: none
  const float* sinks;  // [query heads]; null: none
};

// What the sink of a head adds to a sum of exponentials relative to the logit `top`.
template <typename T>
__device__ float sink_share(const Inputs<T>& in, int head, float top) {
  return in.sinks == nullptr ? 0.0f : expf(in.sinks[head] - top);
}
// A logit from a scaled product.
template <typename T>
__device__ float logit_of(const Inputs<T>& in, float product) {
  return in.soft_cap > 0 ? soft_capped(product, in.soft_cap) : product;
}

// The first key that a row sees.
template <typename T>
__device__ int first_of(const Inputs<T>& in, int row) {
  return in.first == nullptr ? 0 : in.first[row];
}

// Returns false where no tile fits the shape: few rows, odd head sizes, unaligned rows.
bool launch_tiles(const Inputs<Bfloat>& in, int heads, cudaStream_t stream);
inline bool launch_tiles(const Inputs<float>& /*in*/, int /*heads*/, cudaStream_t /*stream*/) {
  return false;
}

}  // namespace claa::cuda
