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

// One block per expert.
__global__ void count_kernel(const int32_t* ids, int choices, int32_t* counts) {
  int count = 0;
  for (int i = threadIdx.x; i < choices; i += blockDim.x) count += ids[i] == static_cast<int>(blockIdx.x);
  count = block_reduce(count, Add{});
  if (threadIdx.x == 0) counts[blockIdx.x] = count;
}

// One block per expert, which goes through all choices in order.
__global__ void place_kernel(const int32_t* ids, int choices, int used, const int32_t* counts,
                             int32_t* row_of, int32_t* slot_of) {
  __shared__ int before[kWarps];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, expert = blockIdx.x;
  int next = 0;
  for (int e = 0; e < expert; ++e) next += counts[e];
  for (int first = 0; first < choices; first += kThreads) {
    const int i = first + static_cast<int>(threadIdx.x);
    const bool mine = i < choices && ids[i] == expert;
    const unsigned in_warp = __ballot_sync(~0u, mine);
    if (lane == 0) before[warp] = __popc(in_warp);
    __syncthreads();
    int place = next + __popc(in_warp & ((1u << lane) - 1)), all = 0;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) place += before[w];
      all += before[w];
    }
    if (mine) row_of[place] = i / used, slot_of[i] = place;
    next += all;
    __syncthreads();
  }
}

// One block per choice.
__global__ void expert_bias_kernel(Bfloat* x, const int32_t* ids, const int32_t* slot_of, const float* bias,
                                   int64_t columns) {
  x += slot_of[blockIdx.x] * columns;
  bias += ids[blockIdx.x] * columns;
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) store(x + c, load(x + c) + bias[c]);
}

// One block per row.
__global__ void mix_kernel(MixedRows call) {
  const int64_t first = blockIdx.x * call.used;
  const Bfloat* x = static_cast<const Bfloat*>(call.x);
  float* out = call.out + blockIdx.x * call.columns;
  for (int64_t c = threadIdx.x; c < call.columns; c += blockDim.x) {
    float sum = 0;
    for (int64_t i = first; i < first + call.used; ++i) {
      const int64_t slot = call.slot_of == nullptr ? i : call.slot_of[i];
      float value = load(x + slot * call.columns + c);
      if (call.bias != nullptr) value += call.bias[call.ids[i] * call.columns + c];
      sum = fmaf(call.weights[i], value, sum);
    }
    out[c] += sum;
  }
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

// One warp per output; blockIdx.y is a choice.
__global__ void chosen_kernel(ChosenRows call, const ExpertMatrix* experts) {
  const int64_t o = blockIdx.x * static_cast<int64_t>(kWarps) + threadIdx.x / 32, choice = blockIdx.y;
  if (o >= call.outputs) return;
  const int32_t expert = call.ids[choice];
  const Bfloat* weights = static_cast<const Bfloat*>(experts[expert].values) + o * call.inputs;
  float sum =
      warp_dot(static_cast<const Bfloat*>(call.x) + choice / call.share * call.inputs, weights, call.inputs);
  if (call.bias != nullptr) sum += call.bias[expert * call.outputs + o];
  if (threadIdx.x % 32 == 0) store(static_cast<Bfloat*>(call.out) + choice * call.outputs + o, sum);
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

void sort_by_expert(const int32_t* ids, int64_t choices, int64_t used, int64_t experts,
                    const RowsByExpert& sorted, cudaStream_t stream) {
  const auto grid = static_cast<unsigned>(experts);
  const int count = static_cast<int>(choices);
  count_kernel<<<grid, kThreads, 0, stream>>>(ids, count, sorted.counts);
  place_kernel<<<grid, kThreads, 0, stream>>>(ids, count, static_cast<int>(used), sorted.counts,
                                              sorted.row_of, sorted.slot_of);
}

void add_expert_bias(void* x, const int32_t* ids, const int32_t* slot_of, int64_t choices, const float* bias,
                     int64_t columns, cudaStream_t stream) {
  expert_bias_kernel<<<static_cast<unsigned>(choices), kThreads, 0, stream>>>(static_cast<Bfloat*>(x), ids,
                                                                              slot_of, bias, columns);
}

void mix_rows(const MixedRows& call, cudaStream_t stream) {
  mix_kernel<<<static_cast<unsigned>(call.rows), kThreads, 0, stream>>>(call);
}

void multiply_chosen_rows(const ChosenRows& call, const ExpertMatrix* experts, cudaStream_t stream) {
  const dim3 grid(blocks_for(call.outputs, kWarps), static_cast<unsigned>(call.choices));
  chosen_kernel<<<grid, kThreads, 0, stream>>>(call, experts);
}

void mix_few_rows(const FewRows& call, cudaStream_t stream) {
  switch (call.type) {
    case ValueType::kF32:
      return launch_few<float, float, float>(call, stream);
    case ValueType::kBf16:
      return launch_few<Bfloat, Bfloat, Bfloat>(call, stream);
    case ValueType::kFp8:
      return launch_few<Fp8, Fp8, Bfloat>(call, stream);
  }
}

}  // namespace claa::cuda
