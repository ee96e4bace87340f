#include "backend/cuda/device.cuh"
#include "backend/cuda/select.h"

namespace claa::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / 32;

// Maps scores to unsigned numbers in the same order; NaN is -inf, and both zeros are equal.
__device__ unsigned order_key(float score) {
  if (isnan(score)) score = -INFINITY;
  const unsigned bits = __float_as_uint(score + 0.0f);  // -0 + 0 = +0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

constexpr int kHeld = 8;  // keys that a thread loads at once

// keys[i] of token first + i * step; 0 from `end` on.
__device__ void load_keys(const float* scores, int64_t first, int step, int64_t end,
                          unsigned (&keys)[kHeld]) {
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int64_t t = first + i * step;
    keys[i] = t < end ? order_key(scores[t]) : 0;
  }
}

// Finds the digit of the count-th best key, and how many keys with that digit belong to the best. Done by the
// first warp; a lane has eight digits, the highest ones first.
__device__ void find_digit(const unsigned* counts, int64_t count, unsigned& digit, int64_t& left) {
  const int lane = threadIdx.x, highest = 255 - 8 * lane;
  unsigned own = 0;
  for (int i = 0; i < 8; ++i) own += counts[highest - i];
  unsigned sum = own;
  for (int offset = 1; offset < 32; offset *= 2) {
    const unsigned other = __shfl_up_sync(~0u, sum, offset);
    if (lane >= offset) sum += other;
  }
  const unsigned reached = __ballot_sync(~0u, sum >= count);
  if (lane != (reached == 0 ? 31 : __ffs(static_cast<int>(reached)) - 1)) return;
  int64_t rest = count - (sum - own);
  int at = highest;
  for (; at > highest - 7 && counts[at] < rest; --at) rest -= counts[at];
  digit = static_cast<unsigned>(at), left = rest;
}

// Finds the key of the count-th best, and how many keys equal to it belong to the best: eight bits at a time,
// counting the keys that agree with the bits found so far.
__device__ unsigned threshold(const float* scores, int64_t tokens, int64_t count, int64_t& of_threshold) {
  __shared__ unsigned counts[256];
  __shared__ unsigned found_digit;
  __shared__ int64_t found_left;
  unsigned prefix = 0, mask = 0;
  int64_t left = count;
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (threadIdx.x < 256) counts[threadIdx.x] = 0;
    __syncthreads();
    for (int64_t first = threadIdx.x; first - threadIdx.x < tokens; first += kThreads * kHeld) {
      unsigned keys[kHeld];
      load_keys(scores, first, kThreads, tokens, keys);
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        const bool counted = first + i * kThreads < tokens && (keys[i] & mask) == prefix;
        const unsigned lanes = __ballot_sync(~0u, counted);
        if (!counted) continue;
        // Most scores share their first digits, so one lane counts for all lanes of its warp that are alike.
        const unsigned digit = keys[i] >> shift & 255, alike = __match_any_sync(lanes, digit);
        if (threadIdx.x % 32 == __ffs(static_cast<int>(alike)) - 1)
          atomicAdd(&counts[digit], static_cast<unsigned>(__popc(alike)));
      }
    }
    __syncthreads();
    if (threadIdx.x < 32) find_digit(counts, left, found_digit, found_left);
    __syncthreads();
    prefix |= found_digit << shift, mask |= 255u << shift, left = found_left;
    __syncthreads();
  }
  of_threshold = left;
  return prefix;
}

// Counts the keys of [first, end) above the limit and those equal to it; one warp.
__device__ int2 count_keys(const float* scores, int64_t first, int64_t end, unsigned limit) {
  int2 counts{0, 0};
  const int lane = threadIdx.x % 32;
  for (int64_t begin = first; begin < end; begin += 32 * kHeld) {
    unsigned keys[kHeld];
    load_keys(scores, begin + lane, 32, end, keys);
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const bool valid = begin + lane + i * 32 < end;
      counts.x += __popc(__ballot_sync(~0u, valid && keys[i] > limit));
      counts.y += __popc(__ballot_sync(~0u, valid && keys[i] == limit));
    }
  }
  return counts;
}

// One block per row: finds the threshold, then writes the indices in order; each warp has a stretch of the
// row.
__global__ void __launch_bounds__(kThreads) select_kernel(const float* scores, int64_t stride, int64_t tokens,
                                                          int64_t count, int64_t tail, int32_t* out) {
  __shared__ int2 counts[kWarps];
  scores += blockIdx.x * stride;
  out += blockIdx.x * (count + tail);
  for (int64_t i = threadIdx.x; i < tail; i += kThreads) out[count + i] = static_cast<int32_t>(tokens + i);
  if (count == 0) return;
  int64_t ties = 0;
  const unsigned limit = threshold(scores, tokens, count, ties);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t stretch = (tokens + kThreads - 1) / kThreads * 32;
  const int64_t first = warp * stretch, end = min(tokens, first + stretch);
  const int2 own = count_keys(scores, first, end, limit);
  if (lane == 0) counts[warp] = own;
  __syncthreads();
  int64_t above = 0, equal = 0;  // before the lane's token
  for (int w = 0; w < warp; ++w) above += counts[w].x, equal += counts[w].y;
  const unsigned before = (1u << lane) - 1;
  for (int64_t begin = first; begin < end; begin += 32 * kHeld) {
    unsigned keys[kHeld];
    load_keys(scores, begin + lane, 32, end, keys);
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int64_t t = begin + lane + i * 32;
      const bool higher = t < end && keys[i] > limit, tie = t < end && keys[i] == limit;
      const unsigned all_higher = __ballot_sync(~0u, higher), all_ties = __ballot_sync(~0u, tie);
      const int64_t at_higher = above + __popc(all_higher & before),
                    at_tie = equal + __popc(all_ties & before);
      if (higher || (tie && at_tie < ties)) out[at_higher + min(at_tie, ties)] = static_cast<int32_t>(t);
      above += __popc(all_higher), equal += __popc(all_ties);
    }
  }
}

__global__ void gather_hidden_kernel(const float* x, int64_t stride, const int32_t* indices, float* out,
                                     int64_t out_stride, int64_t columns) {
  const float* from = x + indices[blockIdx.x] * stride;
  float* to = out + blockIdx.x * out_stride;
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) to[c] = from[c];
}

template <typename T>
__global__ void gather_planes_kernel(const T* from, int64_t from_plane, int64_t from_stride,
                                     const int32_t* indices, int64_t list_stride, int64_t count,
                                     int64_t columns, T* to, int64_t to_plane, int64_t to_stride) {
  const int64_t n = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x, plane = blockIdx.y;
  if (n >= count * columns) return;
  const int64_t slot = n / columns, c = n % columns, row = indices[plane * list_stride + slot];
  to[plane * to_plane + slot * to_stride + c] = from[plane * from_plane + row * from_stride + c];
}

// Reads the elements as T instead of the view's own type.
template <typename T>
void gather_as(const View& from, const int32_t* indices, int64_t list_stride, int64_t count, const View& to,
               cudaStream_t stream) {
  const int64_t per = static_cast<int64_t>(sizeof(T)) / (from.bf16 ? 2 : 4), columns = from.columns / per;
  constexpr int kCopies = 256;
  const dim3 grid(blocks_for(count * columns, kCopies), static_cast<unsigned>(from.planes));
  gather_planes_kernel<T><<<grid, kCopies, 0, stream>>>(
      data_of<T>(from), from.plane_stride / per, from.row_stride / per, indices, list_stride, count, columns,
      data_of<T>(to), to.plane_stride / per, to.row_stride / per);
}

bool wide_rows(const View& view) {
  const int64_t values = view.bf16 ? 8 : 4;
  return view.columns % values == 0 && view.row_stride % values == 0 && view.plane_stride % values == 0;
}

}  // namespace

void select_best(const View& scores, int64_t count, int64_t tail, int32_t* out, cudaStream_t stream) {
  select_kernel<<<static_cast<unsigned>(scores.rows), kThreads, 0, stream>>>(
      data_of<float>(scores), scores.row_stride, scores.columns, count, tail, out);
}

void gather_hidden(const View& x, const int32_t* indices, const View& out, cudaStream_t stream) {
  gather_hidden_kernel<<<static_cast<unsigned>(out.rows), 256, 0, stream>>>(
      data_of<float>(x), x.row_stride, indices, data_of<float>(out), out.row_stride, x.columns);
}

void gather_planes(const View& from, const int32_t* indices, int64_t list_stride, int64_t count,
                   const View& to, cudaStream_t stream) {
  if (count == 0) return;
  if (wide_rows(from) && wide_rows(to)) {
    gather_as<uint4>(from, indices, list_stride, count, to, stream);
  } else if (from.bf16) {
    gather_as<Bfloat>(from, indices, list_stride, count, to, stream);
  } else {
    gather_as<float>(from, indices, list_stride, count, to, stream);
  }
}

}  // namespace claa::cuda
