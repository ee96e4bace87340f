#include <cuda_fp8.h>

#include "backend/cuda/device.cuh"
#include "backend/cuda/experts.h"

namespace claa::cuda {
namespace {

using Fp8 = __nv_fp8_e4m3;

constexpr int kThreads = 256, kWarps = kThreads / 32;

__device__ float load(const Fp8* x) {
  return static_cast<float>(*x);
}
using claa::cuda::load;

// A score and its place; the higher score is better, and of equal ones the lower place.
struct Best {
  float score;
  int32_t at;
};
__device__ Best better(Best a, Best b) {
  return b.score > a.score || (b.score == a.score && b.at < a.at) ? b : a;
}

// One warp per row. What was chosen before is skipped by comparing with the last choice, as choices descend.
__global__ void choose_kernel(const float* logits, int64_t stride, int experts, int used, int32_t* ids,
                              float* weights) {
  const int lane = threadIdx.x;
  logits += blockIdx.x * stride;
  ids += static_cast<int64_t>(blockIdx.x) * used;
  weights += static_cast<int64_t>(blockIdx.x) * used;
  Best last{INFINITY, -1};
  float first = 0, sum = 0;
  for (int i = 0; i < used; ++i) {
    Best best{-INFINITY, INT32_MAX};
    for (int e = lane; e < experts; e += 32) {
      const float score = isnan(logits[e]) ? -INFINITY : logits[e];
      const bool taken = score > last.score || (score == last.score && e <= last.at);
      if (!taken) best = better(best, {score, e});
    }
    for (int offset = 16; offset > 0; offset /= 2) {
      best = better(best, {__shfl_xor_sync(~0u, best.score, offset), __shfl_xor_sync(~0u, best.at, offset)});
    }
    if (i == 0) first = best.score;
    const float weight = expf(logits[best.at] - first);
    sum += weight;
    if (lane == 0) ids[i] = best.at, weights[i] = weight;
    last = best;
  }
  __syncwarp();
  for (int i = lane; i < used; i += 32) weights[i] /= sum;
}

template <typename Unit>
__global__ void gather_kernel(ByteRows move, const int32_t* rows) {
  const int64_t units = move.row_bytes / static_cast<int64_t>(sizeof(Unit)), from = rows[blockIdx.x];
  const Unit* x = static_cast<const Unit*>(move.x) + from * units;
  Unit* out = static_cast<Unit*>(move.out) + blockIdx.x * units;
  for (int64_t i = threadIdx.x; i < units; i += blockDim.x) out[i] = x[i];
  if (threadIdx.x == 0 && move.scales != nullptr) move.out_scales[blockIdx.x] = move.scales[from];
}

__global__ void add_kernel(const float* x, int64_t stride, const int32_t* rows, const float* weights,
                           float* out, int64_t out_stride, int64_t columns) {
  x += blockIdx.x * stride;
  out += rows[blockIdx.x] * out_stride;
  const float weight = weights[blockIdx.x];
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) out[c] += weight * x[c];
}

// The product of two rows, by one warp; the weight's is read 16 bytes at a time where it can be.
template <typename X, typename W>
__device__ float warp_dot(const X* x, const W* w, int64_t n) {
  constexpr int kStep = 16 / sizeof(W);
  const int lane = threadIdx.x % 32;
  float sum = 0;
  if (n % kStep == 0) {
    for (int64_t c = lane * kStep; c < n; c += 32 * kStep) {
      const uint4 raw = *reinterpret_cast<const uint4*>(w + c);
      const W* values = reinterpret_cast<const W*>(&raw);
#pragma unroll
      for (int i = 0; i < kStep; ++i) sum = fmaf(load(x + c + i), load(values + i), sum);
    }
  } else {
    for (int64_t c = lane; c < n; c += 32) sum = fmaf(load(x + c), load(w + c), sum);
  }
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  return sum;
}

// One warp per gated value; blockIdx.y is a pair of a row and one of its experts.
template <typename X, typename W, typename Gated>
__global__ void gate_up_kernel(FewRows call) {
  const int64_t o = blockIdx.x * static_cast<int64_t>(kWarps) + threadIdx.x / 32;
  if (o >= call.width) return;
  const int64_t row = blockIdx.y / call.used;
  const int32_t expert = call.ids[blockIdx.y];
  const ExpertMatrix matrix = call.gate_up[expert];
  const X* x = static_cast<const X*>(call.x) + row * call.hidden;
  const W* weights = static_cast<const W*>(matrix.values);
  float gate = warp_dot(x, weights + o * call.hidden, call.hidden);
  float up = warp_dot(x, weights + (call.width + o) * call.hidden, call.hidden);
  if (matrix.scales != nullptr) {
    gate *= call.x_scales[row] * matrix.scales[o];
    up *= call.x_scales[row] * matrix.scales[call.width + o];
  }
  if (call.gate_up_bias != nullptr) {
    gate += call.gate_up_bias[2 * call.width * expert + o];
    up += call.gate_up_bias[2 * call.width * expert + call.width + o];
  }
  if (threadIdx.x % 32 == 0)
    store(static_cast<Gated*>(call.gated) + blockIdx.y * call.width + o,
          gate_times(call.activation, gate, up));
}

// One warp per output; blockIdx.y is a row.
template <typename W, typename Gated>
__global__ void down_kernel(FewRows call) {
  const int64_t o = blockIdx.x * static_cast<int64_t>(kWarps) + threadIdx.x / 32, row = blockIdx.y;
  if (o >= call.hidden) return;
  float total = 0;
  for (int64_t i = row * call.used; i < (row + 1) * call.used; ++i) {
    const int32_t expert = call.ids[i];
    const ExpertMatrix matrix = call.down[expert];
    float sum = warp_dot(static_cast<const Gated*>(call.gated) + i * call.width,
                         static_cast<const W*>(matrix.values) + o * call.width, call.width);
    if (matrix.scales != nullptr) sum *= matrix.scales[o];
    if (call.down_bias != nullptr) sum += call.down_bias[call.hidden * expert + o];
    total = fmaf(call.weights[i], sum, total);
  }
  if (threadIdx.x % 32 == 0) call.out[row * call.hidden + o] += total;
}

template <typename X, typename W, typename Gated>
void launch_few(const FewRows& call, cudaStream_t stream) {
  const auto pairs = static_cast<unsigned>(call.rows * call.used), rows = static_cast<unsigned>(call.rows);
  gate_up_kernel<X, W, Gated><<<dim3(blocks_for(call.width, kWarps), pairs), kThreads, 0, stream>>>(call);
  down_kernel<W, Gated><<<dim3(blocks_for(call.hidden, kWarps), rows), kThreads, 0, stream>>>(call);
}

}  // namespace

void choose_rows(const View& logits, int64_t used, int32_t* ids, float* weights, cudaStream_t stream) {
  choose_kernel<<<static_cast<unsigned>(logits.rows), 32, 0, stream>>>(
      data_of<float>(logits), logits.row_stride, static_cast<int>(logits.columns), static_cast<int>(used),
      ids, weights);
}

void gather_byte_rows(const ByteRows& move, const int32_t* rows, int64_t count, cudaStream_t stream) {
  const auto addresses = reinterpret_cast<uintptr_t>(move.x) | reinterpret_cast<uintptr_t>(move.out);
  if ((addresses | static_cast<uintptr_t>(move.row_bytes)) % sizeof(uint4) == 0) {
    gather_kernel<uint4><<<static_cast<unsigned>(count), kThreads, 0, stream>>>(move, rows);
  } else {
    gather_kernel<uint8_t><<<static_cast<unsigned>(count), kThreads, 0, stream>>>(move, rows);
  }
}

void add_weighted_rows(const View& x, const int32_t* rows, const float* weights, const View& out,
                       cudaStream_t stream) {
  add_kernel<<<static_cast<unsigned>(x.rows), kThreads, 0, stream>>>(
      data_of<float>(x), x.row_stride, rows, weights, data_of<float>(out), out.row_stride, x.columns);
}

void mix_few_rows(const FewRows& call, cudaStream_t stream) {
  switch (call.type) {
    case ExpertType::kF32:
      return launch_few<float, float, float>(call, stream);
    case ExpertType::kBf16:
      return launch_few<Bfloat, Bfloat, Bfloat>(call, stream);
    case ExpertType::kFp8:
      return launch_few<Fp8, Fp8, Bfloat>(call, stream);
  }
}

}  // namespace claa::cuda
