// Attention of few or odd rows. For few rows of bf16, as in decode, one block reads a part of the keys once
// for all heads of a group. Shapes that neither this nor attention_tiles.cu supports (f32, odd head sizes)
// use one block per (row, head).
#include <cfloat>

#include "backend/cuda/attention.h"
#include "backend/cuda/attention_tiles.cuh"

namespace claa::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kSplitKeys = 256;  // most keys per block when few rows must fill the device
constexpr int kFewRows = 8;

// The online softmax of some keys: their maximum, the sum of e^(logit - maximum), and the values weighted so.
struct Partial {
  float top, total;
};

// Memory for the parts of blocks when the keys of a row are split; [rows, heads, splits] each. keys is 0 when
// they are not.
struct Splits {
  int count = 1, keys = 0;
  Partial* partials = nullptr;
  float* sums = nullptr;  // head_size values per part
};

// One warp, whose lanes hold kLaneValues values of a head each, handles the keys j = first, first + kWarps,
// ... below end.
template <typename T, int kLaneValues>
__device__ Partial warp_keys(const Inputs<T>& in, const T* k, const T* v, const float (&query)[kLaneValues],
                             int first, int end, float (&sum)[kLaneValues]) {
  const int lane = threadIdx.x % 32, d = in.head_size;
  Partial part{-FLT_MAX, 0};
  for (int j = first; j < end; j += kWarps) {
    float dot = 0;
#pragma unroll
    for (int i = 0; i < kLaneValues; ++i) {
      if (lane + 32 * i < d) dot = fmaf(query[i], load(k + j * in.k_stride + lane + 32 * i), dot);
    }
    for (int offset = 16; offset > 0; offset /= 2) dot += __shfl_xor_sync(~0u, dot, offset);
    dot = logit_of(in, dot);
    const float higher = fmaxf(part.top, dot), keep = expf(part.top - higher), p = expf(dot - higher);
    part.top = higher;
    part.total = part.total * keep + p;
#pragma unroll
    for (int i = 0; i < kLaneValues; ++i) {
      if (lane + 32 * i < d) sum[i] = fmaf(p, load(v + j * in.v_stride + lane + 32 * i), sum[i] * keep);
    }
  }
  return part;
}

// One block per row, head and part of the keys; its warps take turns at the keys.
template <typename T, int kLaneValues>
__global__ void row_kernel(Inputs<T> in, Splits splits) {
  __shared__ float sums[kWarps][32 * kLaneValues];
  __shared__ Partial parts[kWarps];
  const int row = blockIdx.x, head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int d = in.head_size, part_first = blockIdx.z * splits.keys,
            first = max(part_first, first_of(in, row));
  const int end = splits.keys == 0 ? in.visible[row] : min(in.visible[row], part_first + splits.keys);
  if (first >= end) return;  // merge_kernel() skips such a part
  const T* q = in.q + row * in.q_stride + head * d;
  float query[kLaneValues], sum[kLaneValues] = {};
#pragma unroll
  for (int i = 0; i < kLaneValues; ++i)
    query[i] = lane + 32 * i < d ? load(q + lane + 32 * i) * in.scale : 0.0f;
  const Partial part = warp_keys(in, in.k + (head / in.group) * in.k_plane,
                                 in.v + (head / in.group) * in.v_plane, query, first + warp, end, sum);
#pragma unroll
  for (int i = 0; i < kLaneValues; ++i) sums[warp][lane + 32 * i] = sum[i];
  if (lane == 0) parts[warp] = part;
  __syncthreads();
  float highest = parts[0].top;
  for (int w = 1; w < kWarps; ++w) highest = fmaxf(highest, parts[w].top);
  const int64_t at = (static_cast<int64_t>(row) * gridDim.y + head) * splits.count + blockIdx.z;
  for (int c = threadIdx.x; c < d; c += blockDim.x) {
    float value = 0, weight = 0;
    for (int w = 0; w < kWarps; ++w) {
      const float factor = expf(parts[w].top - highest);
      value = fmaf(factor, sums[w][c], value);
      weight = fmaf(factor, parts[w].total, weight);
    }
    if (splits.keys == 0) {
      weight += sink_share(in, head, highest);
      store(in.out + row * in.out_stride + head * d + c, value / weight);
    } else {
      splits.sums[at * d + c] = value;
      if (c == 0) splits.partials[at] = {highest, weight};
    }
  }
}

// Adds up the parts of every row and head.
template <typename T>
__global__ void merge_kernel(Inputs<T> in, Splits splits) {
  const int row = blockIdx.x, head = blockIdx.y, d = in.head_size;
  const int64_t at = (static_cast<int64_t>(row) * gridDim.y + head) * splits.count;
  // Parts that hold anything.
  const int begin = first_of(in, row) / splits.keys,
            count = (in.visible[row] + splits.keys - 1) / splits.keys;
  float highest = -FLT_MAX;
#pragma unroll 8
  for (int s = begin; s < count; ++s) highest = fmaxf(highest, splits.partials[at + s].top);
  for (int c = threadIdx.x; c < d; c += blockDim.x) {
    float value = 0, weight = sink_share(in, head, highest);
#pragma unroll 8
    for (int s = begin; s < count; ++s) {
      const float factor = expf(splits.partials[at + s].top - highest);
      value = fmaf(factor, splits.sums[(at + s) * d + c], value);
      weight = fmaf(factor, splits.partials[at + s].total, weight);
    }
    store(in.out + row * in.out_stride + head * d + c, value / weight);
  }
}

constexpr int kLoad = 8;       // bf16 values per load
constexpr int kGroupKeys = 4;  // loads of a lane in flight at once

__device__ void widen(const uint4& raw, float (&values)[kLoad]) {
  const Bfloat* from = reinterpret_cast<const Bfloat*>(&raw);
#pragma unroll
  for (int i = 0; i < kLoad; ++i) values[i] = __bfloat162float(from[i]);
}

// Logits of the block's keys [first, end) for G query heads of one KV head: logits[g][key - first]. D / 8
// lanes share a key, so that a warp reads 512 consecutive bytes of keys at a time.
template <int D, int G>
__device__ void group_logits(const Inputs<Bfloat>& in, const Bfloat* q, const Bfloat* k, int heads, int first,
                             int end, float (*logits)[kSplitKeys]) {
  constexpr int kLanes = D / kLoad, kAtOnce = 32 / kLanes;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, part = lane % kLanes;
  float query[G][kLoad];
#pragma unroll
  for (int g = 0; g < G; ++g) {
    widen(*reinterpret_cast<const uint4*>(q + min(g, heads - 1) * D + part * kLoad), query[g]);
#pragma unroll
    for (int i = 0; i < kLoad; ++i) query[g][i] *= in.scale;
  }
  constexpr int kStep = kWarps * kAtOnce;
  for (int j = first + warp * kAtOnce + lane / kLanes; j - lane / kLanes < end; j += kStep * kGroupKeys) {
    uint4 raw[kGroupKeys];
#pragma unroll
    for (int n = 0; n < kGroupKeys; ++n) {
      raw[n] = *reinterpret_cast<const uint4*>(k + min(j + n * kStep, end - 1) * in.k_stride + part * kLoad);
    }
#pragma unroll
    for (int n = 0; n < kGroupKeys; ++n) {
      float key[kLoad];
      widen(raw[n], key);
#pragma unroll
      for (int g = 0; g < G; ++g) {
        float dot = 0;
#pragma unroll
        for (int i = 0; i < kLoad; ++i) dot = fmaf(query[g][i], key[i], dot);
#pragma unroll
        for (int offset = kLanes / 2; offset > 0; offset /= 2) dot += __shfl_xor_sync(~0u, dot, offset);
        if (part == 0 && j + n * kStep < end) logits[g][j + n * kStep - first] = logit_of(in, dot);
      }
    }
  }
}

// logits[g] become e^(logit - maximum); each warp takes every kWarps-th head.
template <int G>
__device__ void group_softmax(int count, float (*logits)[kSplitKeys], Partial* parts) {
  const int lane = threadIdx.x % 32;
  for (int g = threadIdx.x / 32; g < G; g += kWarps) {
    float top = -FLT_MAX, total = 0;
    for (int j = lane; j < count; j += 32) top = fmaxf(top, logits[g][j]);
    for (int offset = 16; offset > 0; offset /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, offset));
    for (int j = lane; j < count; j += 32) total += logits[g][j] = expf(logits[g][j] - top);
    for (int offset = 16; offset > 0; offset /= 2) total += __shfl_xor_sync(~0u, total, offset);
    if (lane == 0) parts[g] = {top, total};
  }
}

// Each warp's share of the weighted values: sums[warp][g][...].
template <int D, int G>
__device__ void group_values(const Inputs<Bfloat>& in, const Bfloat* v, int first, int end,
                             const float (*weights)[kSplitKeys], float (*sums)[G][D]) {
  constexpr int kLanes = D / kLoad, kAtOnce = 32 / kLanes, kStep = kWarps * kAtOnce;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, part = lane % kLanes;
  float sum[G][kLoad] = {};
  for (int j = first + warp * kAtOnce + lane / kLanes; j - lane / kLanes < end; j += kStep * kGroupKeys) {
    uint4 raw[kGroupKeys];
#pragma unroll
    for (int n = 0; n < kGroupKeys; ++n) {
      raw[n] = *reinterpret_cast<const uint4*>(v + min(j + n * kStep, end - 1) * in.v_stride + part * kLoad);
    }
#pragma unroll
    for (int n = 0; n < kGroupKeys; ++n) {
      float value[kLoad];
      widen(raw[n], value);
#pragma unroll
      for (int g = 0; g < G; ++g) {
        const float weight = j + n * kStep < end ? weights[g][j + n * kStep - first] : 0.0f;
#pragma unroll
        for (int i = 0; i < kLoad; ++i) sum[g][i] = fmaf(weight, value[i], sum[g][i]);
      }
    }
  }
#pragma unroll
  for (int g = 0; g < G; ++g) {
#pragma unroll
    for (int i = 0; i < kLoad; ++i) {
#pragma unroll
      for (int offset = kLanes; offset < 32; offset *= 2)
        sum[g][i] += __shfl_xor_sync(~0u, sum[g][i], offset);
      if (lane < kLanes) sums[warp][g][part * kLoad + i] = sum[g][i];
    }
  }
}

// One block per row, KV head (with G of its query heads) and part of the keys.
template <int D, int G>
__global__ void __launch_bounds__(kWarps * 32) group_kernel(Inputs<Bfloat> in, Splits splits) {
  __shared__ float logits[G][kSplitKeys];
  __shared__ float sums[kWarps][G][D];
  __shared__ Partial parts[G];
  const int chunks = (in.group + G - 1) / G;
  const int row = blockIdx.x, kv_head = blockIdx.y / chunks, offset = blockIdx.y % chunks * G;
  const int part_first = blockIdx.z * splits.keys, first = max(part_first, first_of(in, row));
  const int end = min(in.visible[row], part_first + splits.keys);
  if (first >= end) return;  // merge_kernel() skips such a part
  const int heads = min(G, in.group - offset), head = kv_head * in.group + offset;
  const int all_heads = static_cast<int>(gridDim.y) / chunks * in.group;
  group_logits<D, G>(in, in.q + row * in.q_stride + head * D, in.k + kv_head * in.k_plane, heads, first, end,
                     logits);
  __syncthreads();
  group_softmax<G>(end - first, logits, parts);
  __syncthreads();
  group_values<D, G>(in, in.v + kv_head * in.v_plane, first, end, logits, sums);
  __syncthreads();
  for (int n = threadIdx.x; n < heads * D; n += blockDim.x) {
    const int g = n / D, c = n % D;
    float value = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) value += sums[w][g][c];
    const int64_t at = (static_cast<int64_t>(row) * all_heads + head + g) * splits.count + blockIdx.z;
    splits.sums[at * D + c] = value;
    if (c == 0) splits.partials[at] = parts[g];
  }
}

bool launch_groups(const Inputs<float>& /*in*/, int /*heads*/, const Splits& /*splits*/,
                   cudaStream_t /*stream*/) {
  return false;
}
template <int D>
void launch_groups(const Inputs<Bfloat>& in, int heads, const Splits& splits, cudaStream_t stream) {
  const auto launch = [&](auto* kernel, int at_once) {
    const int chunks = (in.group + at_once - 1) / at_once;
    const dim3 grid(static_cast<unsigned>(in.rows), static_cast<unsigned>(heads / in.group * chunks),
                    static_cast<unsigned>(splits.count));
    kernel<<<grid, kWarps * 32, 0, stream>>>(in, splits);
  };
  if (in.group == 1) {
    launch(group_kernel<D, 1>, 1);
  } else if (in.group == 2) {
    launch(group_kernel<D, 2>, 2);
  } else {
    launch(group_kernel<D, 4>, 4);
  }
}
// Returns false where loads of 16 bytes do not fit.
bool launch_groups(const Inputs<Bfloat>& in, int heads, const Splits& splits, cudaStream_t stream) {
  const auto addresses = reinterpret_cast<uintptr_t>(in.q) | reinterpret_cast<uintptr_t>(in.k) |
                         reinterpret_cast<uintptr_t>(in.v);
  if (addresses % (kLoad * sizeof(Bfloat)) != 0) return false;
  if ((in.k_stride | in.v_stride | in.k_plane | in.v_plane | in.q_stride) % kLoad != 0) return false;
  if (in.head_size == 64) {
    launch_groups<64>(in, heads, splits, stream);
  } else if (in.head_size == 128) {
    launch_groups<128>(in, heads, splits, stream);
  } else {
    return false;
  }
  return true;
}

// Keys per block, so that the blocks of few rows are many enough for a large device.
int split_keys(int64_t rows, int64_t heads, int64_t length) {
  constexpr int64_t kBlocks = 512;
  constexpr int kLeastKeys = 64;
  int keys = kSplitKeys;
  while (keys > kLeastKeys && rows * heads * blocks_for(length, keys) < kBlocks) keys /= 2;
  return keys;
}

// Few rows leave most of the device idle unless their keys are split.
template <typename T>
void launch_rows(const Inputs<T>& in, int heads, void* scratch, cudaStream_t stream) {
  Splits splits;
  if (in.rows <= kFewRows) {
    splits.keys = split_keys(in.rows, heads, in.length);
    splits.count = static_cast<int>(blocks_for(in.length, splits.keys));
    const size_t parts = static_cast<size_t>(in.rows) * heads * splits.count;
    splits.partials = static_cast<Partial*>(scratch);
    splits.sums = reinterpret_cast<float*>(splits.partials + parts);
  }
  const dim3 grid(static_cast<unsigned>(in.rows), static_cast<unsigned>(heads),
                  static_cast<unsigned>(splits.count));
  if (splits.keys == 0 || !launch_groups(in, heads, splits, stream)) {
    constexpr int kUsual = kMaxHeadSize / 64, kMost = kMaxHeadSize / 32;
    if (in.head_size <= 32 * kUsual) {
      row_kernel<T, kUsual><<<grid, kWarps * 32, 0, stream>>>(in, splits);
    } else {
      row_kernel<T, kMost><<<grid, kWarps * 32, 0, stream>>>(in, splits);
    }
  }
  if (splits.keys > 0) merge_kernel<T><<<dim3(grid.x, grid.y), 128, 0, stream>>>(in, splits);
}

}  // namespace

size_t attention_scratch(int64_t rows, int64_t heads, int64_t head_size, int64_t length) {
  if (rows > kFewRows) return 0;
  return static_cast<size_t>(rows * heads) * blocks_for(length, split_keys(rows, heads, length)) *
         (sizeof(Partial) + sizeof(float) * static_cast<size_t>(head_size));
}

void attention_rows(const View& q, const View& k, const View& v, int64_t length, Visible visible,
                    Softmax softmax, const View& out, void* scratch, cudaStream_t stream) {
  with_type(q, [&](auto* queries) {
    using T = std::remove_pointer_t<decltype(queries)>;
    const int head_size = static_cast<int>(k.columns), heads = static_cast<int>(q.columns) / head_size;
    Inputs<T> in{queries,
                 data_of<T>(k),
                 data_of<T>(v),
                 data_of<T>(out),
                 visible.first,
                 visible.end,
                 q.row_stride,
                 out.row_stride,
                 k.plane_stride,
                 v.plane_stride,
                 k.row_stride,
                 v.row_stride,
                 static_cast<int>(q.rows),
                 heads / static_cast<int>(k.planes),
                 head_size,
                 static_cast<int>(length),
                 1.0f / sqrtf(static_cast<float>(head_size)),
                 softmax.soft_cap,
                 softmax.sinks};
    if (launch_tiles(in, heads, stream)) return;
    launch_rows(in, heads, scratch, stream);
  });
}

}  // namespace claa::cuda
