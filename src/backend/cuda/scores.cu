#include "backend/cuda/device.cuh"
#include "backend/cuda/scores.h"

namespace claa::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kKeys = 128;      // keys per block, one per thread
constexpr int kRowsAtOnce = 8;  // query rows whose sums a thread holds

template <typename T>
struct Vector16 {
  static constexpr int kValues = 16 / sizeof(T);
};

// Thread j has key j and reads its dimensions once for eight query rows, which all threads read from shared
// memory.
template <typename T>
__global__ void logits_kernel(const T* q, int64_t q_stride, const T* k, int64_t k_plane, int64_t k_stride,
                              const int32_t* heads, int group, int window, int64_t length, int d, float scale,
                              float* logits) {
  extern __shared__ float queries[];  // [kRowsAtOnce][d]
  const int listed = blockIdx.y, head = heads[listed], first = blockIdx.z * kRowsAtOnce;
  for (int n = threadIdx.x; n < kRowsAtOnce * d; n += blockDim.x) {
    const int row = first + n / d;
    queries[n] = row < window ? load(q + row * q_stride + head * d + n % d) : 0.0f;
  }
  __syncthreads();
  const int64_t key = blockIdx.x * static_cast<int64_t>(kKeys) + threadIdx.x;
  if (key >= length) return;
  const T* from = k + (head / group) * k_plane + key * k_stride;
  float sums[kRowsAtOnce] = {};
  constexpr int kStep = Vector16<T>::kValues;
  int c = 0;
  if (k_stride % kStep == 0 && k_plane % kStep == 0) {
    for (; c + kStep <= d; c += kStep) {
      const uint4 raw = *reinterpret_cast<const uint4*>(from + c);
      const T* values = reinterpret_cast<const T*>(&raw);
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) {
#pragma unroll
        for (int i = 0; i < kStep; ++i) sums[r] = fmaf(queries[r * d + c + i], load(values + i), sums[r]);
      }
    }
  }
  for (; c < d; ++c) {
    const float value = load(from + c);
    for (int r = 0; r < kRowsAtOnce; ++r) sums[r] = fmaf(queries[r * d + c], value, sums[r]);
  }
  for (int r = 0; r < kRowsAtOnce && first + r < window; ++r) {
    logits[(static_cast<int64_t>(listed) * window + first + r) * length + key] = sums[r] * scale;
  }
}

constexpr int kMmaWarps = 4, kMmaKeys = 32, kMmaHeads = 4;  // keys per warp; listed heads per block

// The same on the matrix units: 16 keys by eight query rows at a time. A thread holds 16 consecutive bytes of
// a row where the instruction expects pairs eight values apart. The order of dimensions does not change the
// sums, and it is the same for keys and queries. Keys are read once for listed heads that share them.
template <int D>
__global__ void __launch_bounds__(kMmaWarps * 32)
    logits_mma_kernel(const Bfloat* q, int64_t q_stride, const Bfloat* k, int64_t k_plane, int64_t k_stride,
                      const int32_t* heads, int listed_heads, int group, int window, int64_t length,
                      float scale, float* logits) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, part = lane % 4 * 8, first_row = blockIdx.z * 8;
  const int64_t first_key = (blockIdx.x * static_cast<int64_t>(kMmaWarps) + warp) * kMmaKeys;
  if (first_key >= length) return;
  uint4 keys[kMmaKeys / 8][D / 32];  // rows lane / 4 + 8 n
  int loaded = -1;
  const int end = min(listed_heads, static_cast<int>(blockIdx.y + 1) * kMmaHeads);
  for (int listed = blockIdx.y * kMmaHeads; listed < end; ++listed) {
    const int head = heads[listed], plane = head / group;
    if (plane != loaded) {
#pragma unroll
      for (int n = 0; n < kMmaKeys / 8; ++n) {
        const Bfloat* from =
            k + plane * k_plane + min(first_key + n * 8 + lane / 4, length - 1) * k_stride + part;
#pragma unroll
        for (int j = 0; j < D / 32; ++j) keys[n][j] = *reinterpret_cast<const uint4*>(from + 32 * j);
      }
      loaded = plane;
    }
    const Bfloat* from = q + min(first_row + lane / 4, window - 1) * q_stride + head * D + part;
    float c[kMmaKeys / 16][4] = {};
#pragma unroll
    for (int j = 0; j < D / 32; ++j) {
      const uint4 row = *reinterpret_cast<const uint4*>(from + 32 * j);
#pragma unroll
      for (int n = 0; n < kMmaKeys / 16; ++n) {
        const uint4 &low = keys[2 * n][j], &high = keys[2 * n + 1][j];
        mma(c[n], {low.x, high.x, low.y, high.y}, row.x, row.y);
        mma(c[n], {low.z, high.z, low.w, high.w}, row.z, row.w);
      }
    }
#pragma unroll
    for (int n = 0; n < kMmaKeys / 16; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int64_t key = first_key + n * 16 + lane / 4 + i / 2 * 8;
        const int row = first_row + lane % 4 * 2 + i % 2;
        if (key < length && row < window)
          logits[(static_cast<int64_t>(listed) * window + row) * length + key] = c[n][i] * scale;
      }
    }
  }
}

// Returns false where no such kernel fits the shape.
bool launch_mma(const WindowQuery& query, float* logits, cudaStream_t stream) {
  const View &q = query.q, &k = query.k;
  const auto addresses = reinterpret_cast<uintptr_t>(q.data) | reinterpret_cast<uintptr_t>(k.data);
  if (!q.bf16 || addresses % 16 != 0 || (q.row_stride | k.row_stride | k.plane_stride) % 8 != 0) return false;
  const dim3 grid(blocks_for(query.length, kMmaWarps * kMmaKeys), blocks_for(query.listed, kMmaHeads),
                  blocks_for(q.rows, 8));
  const auto launch = [&](auto* kernel) {
    kernel<<<grid, kMmaWarps * 32, 0, stream>>>(data_of<Bfloat>(q), q.row_stride, data_of<Bfloat>(k),
                                                k.plane_stride, k.row_stride, query.heads,
                                                static_cast<int>(query.listed), static_cast<int>(query.group),
                                                static_cast<int>(q.rows), query.length, query.scale, logits);
  };
  switch (k.columns) {
    case 64:
      launch(logits_mma_kernel<64>);
      return true;
    case 96:
      launch(logits_mma_kernel<96>);
      return true;
    case 128:
      launch(logits_mma_kernel<128>);
      return true;
    default:
      return false;
  }
}

constexpr int kStatsThreads = 1024;  // few rows must fill the device

// stats [listed * window, 2]: maximum, and 1 / sum of e^(logit - maximum) over the keys that the row sees and
// the head's sink.
__global__ void softmax_stats_kernel(const float* logits, const int32_t* heads, const float* sinks,
                                     int window, int64_t length, float2* stats) {
  const int64_t row = blockIdx.x;
  const int64_t seen = length - window + row % window + 1;
  logits += row * length;
  float top = -INFINITY;
  for (int64_t j = threadIdx.x; j < seen; j += blockDim.x) top = fmaxf(top, logits[j]);
  top = block_reduce(top, Larger{});
  float sum = 0;
  for (int64_t j = threadIdx.x; j < seen; j += blockDim.x) sum += expf(logits[j] - top);
  sum = block_reduce(sum, Add{});
  if (threadIdx.x != 0) return;
  if (sinks != nullptr) sum += expf(sinks[heads[row / window]] - top);
  stats[row] = {top, 1.0f / sum};
}

__global__ void fold_window_kernel(const float* logits, const float2* stats, int window, int64_t length,
                                   Fold rows, int64_t tokens, float* per_head) {
  const int64_t t = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x, head = blockIdx.y;
  if (t >= tokens) return;
  float folded = 0;
  for (int r = 0; r < window; ++r) {
    const int64_t row = head * window + r;
    const bool seen = t < length - window + r + 1;
    float value = seen ? logits[row * length + t] : -INFINITY;
    if (stats != nullptr) value = seen ? expf(value - stats[row].x) * stats[row].y : 0.0f;
    if (rows == Fold::kKeep) {
      per_head[row * tokens + t] = value;
    } else {
      folded = r == 0 ? value : rows == Fold::kSum ? folded + value : fmaxf(folded, value);
    }
  }
  if (rows != Fold::kKeep) per_head[head * tokens + t] = folded;
}

__global__ void pool_kernel(const float* in, int64_t tokens, bool average, int64_t kernel, float* out) {
  const int64_t t = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (t >= tokens) return;
  in += blockIdx.y * tokens;
  const int64_t first = max(int64_t{0}, t - kernel / 2), last = min(tokens, t - kernel / 2 + kernel);
  float value = average ? 0.0f : -INFINITY;
  for (int64_t j = first; j < last; ++j) value = average ? value + in[j] : fmaxf(value, in[j]);
  out[blockIdx.y * tokens + t] = average ? value / static_cast<float>(kernel) : value;
}

__global__ void normalise_kernel(const float* in, int64_t rows_a_head, int64_t tokens, const float* weights,
                                 float* factors) {
  const int64_t row = blockIdx.x;
  double sum = 0;
  for (int64_t t = threadIdx.x; t < tokens; t += blockDim.x) sum += in[row * tokens + t];
  sum = block_reduce(sum, Add{});
  if (threadIdx.x == 0) {
    factors[row] = sum > 0 ? static_cast<float>(weights[row / rows_a_head] / sum) : 0.0f;
  }
}

__global__ void plain_kernel(int64_t rows, int64_t rows_a_head, const float* weights, float* factors) {
  const int64_t row = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (row < rows) factors[row] = weights[row / rows_a_head];
}

__device__ float fold_two(Fold fold, float a, float b) {
  return fold == Fold::kMax ? fmaxf(a, b) : a + b;
}

__global__ void fold_heads_kernel(const float* per_head, const float* factors, HeadFold fold, float* out) {
  const int64_t t = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x, r = blockIdx.y;
  if (t >= fold.tokens) return;
  const int64_t group = fold.groups == Fold::kKeep ? 1 : fold.group, groups = fold.listed / group;
  const int64_t per_row = fold.heads == Fold::kKeep ? groups : 1;
  float all = 0;
  for (int64_t g = 0; g < groups; ++g) {
    float value = 0;
    for (int64_t i = 0; i < group; ++i) {
      const int64_t row = (g * group + i) * fold.rows + r;
      const float weighed = per_head[row * fold.tokens + t] * factors[row];
      value = i == 0 ? weighed : fold_two(fold.groups, value, weighed);
    }
    if (fold.heads == Fold::kKeep) {
      out[(r * per_row + g) * fold.out_stride + t] = value;
    } else {
      all = g == 0 ? value : fold_two(fold.heads, all, value);
    }
  }
  if (fold.heads != Fold::kKeep) out[r * fold.out_stride + t] = all;
}

__global__ void fold_layer_kernel(const float* layer, int64_t stride, int64_t rows, const double* moments,
                                  bool maximum, int64_t tokens, float* out) {
  const int64_t t = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (t >= tokens) return;
  float value = out[t];
  for (int64_t r = 0; r < rows; ++r) {
    float x = layer[r * stride + t];
    if (moments != nullptr) x = static_cast<float>((x - moments[2 * r]) * moments[2 * r + 1]);
    value = maximum ? fmaxf(value, x) : value + x;
  }
  out[t] = value;
}

__global__ void cap_kernel(float* logits, int64_t count, float cap) {
  const int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i < count) logits[i] = soft_capped(logits[i], cap);
}

__global__ void fill_kernel(float* out, int64_t count, float value) {
  const int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i < count) out[i] = value;
}

__global__ void moments_kernel(const float* layer, int64_t stride, int64_t tokens, double* moments) {
  layer += blockIdx.x * stride;
  double sum = 0;
  for (int64_t t = threadIdx.x; t < tokens; t += blockDim.x) sum += layer[t];
  const double mean = block_reduce(sum, Add{}) / static_cast<double>(tokens);
  double squares = 0;
  for (int64_t t = threadIdx.x; t < tokens; t += blockDim.x) squares += (layer[t] - mean) * (layer[t] - mean);
  squares = block_reduce(squares, Add{});
  if (threadIdx.x == 0) {
    const bool single = tokens < 2;
    moments[2 * blockIdx.x] = single ? 0.0 : mean;
    moments[2 * blockIdx.x + 1] =
        single ? 1.0 : 1.0 / (sqrt(squares / static_cast<double>(tokens - 1)) + 1e-6);
  }
}

__device__ float rank_key(float score) {
  return isnan(score) ? -INFINITY : score;
}

// A token's rank is the number of better ones. This is quadratic, but 131,072 tokens take milliseconds.
__global__ void ranks_kernel(const float* scores, int64_t tokens, double weight, float* out) {
  __shared__ float tile[kThreads];
  const int64_t t = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  const float own = t < tokens ? rank_key(scores[t]) : 0.0f;
  int64_t rank = 0;
  for (int64_t first = 0; first < tokens; first += kThreads) {
    __syncthreads();
    if (first + threadIdx.x < tokens) tile[threadIdx.x] = rank_key(scores[first + threadIdx.x]);
    __syncthreads();
    const int count = static_cast<int>(min(static_cast<int64_t>(kThreads), tokens - first));
    for (int i = 0; i < count; ++i) rank += tile[i] > own || (tile[i] == own && first + i < t) ? 1 : 0;
  }
  if (t < tokens) out[t] -= static_cast<float>(weight * static_cast<double>(rank));
}

dim3 grid_of(int64_t tokens, int64_t rows) {
  return dim3(blocks_for(tokens, kThreads), static_cast<unsigned>(rows));
}

}  // namespace

namespace {

void launch_logits(const WindowQuery& query, float* logits, cudaStream_t stream) {
  if (launch_mma(query, logits, stream)) return;
  const int64_t window = query.q.rows, d = query.k.columns;
  const dim3 grid(blocks_for(query.length, kKeys), static_cast<unsigned>(query.listed),
                  blocks_for(window, kRowsAtOnce));
  with_type(query.q, [&](auto* q) {
    using T = std::remove_pointer_t<decltype(q)>;
    logits_kernel<T><<<grid, kKeys, sizeof(float) * kRowsAtOnce* static_cast<size_t>(d), stream>>>(
        q, query.q.row_stride, data_of<T>(query.k), query.k.plane_stride, query.k.row_stride, query.heads,
        static_cast<int>(query.group), static_cast<int>(window), query.length, static_cast<int>(d),
        query.scale, logits);
  });
}

}  // namespace

void window_logits(const WindowQuery& query, float* logits, cudaStream_t stream) {
  launch_logits(query, logits, stream);
  if (query.soft_cap == 0) return;
  const int64_t count = query.listed * query.q.rows * query.length;
  cap_kernel<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(logits, count, query.soft_cap);
}

void fold_window(const WindowQuery& query, const float* logits, bool softmax, Fold rows, int64_t tokens,
                 float* per_head, cudaStream_t stream) {
  const int64_t listed = query.listed, window = query.q.rows, length = query.length;
  float2* stats = nullptr;
  if (softmax) {
    const size_t bytes = static_cast<size_t>(listed * window) * sizeof(float2);
    if (cudaMallocAsync(reinterpret_cast<void**>(&stats), bytes, stream) != cudaSuccess)
      return;  // the caller notices it
    softmax_stats_kernel<<<static_cast<unsigned>(listed * window), kStatsThreads, 0, stream>>>(
        logits, query.heads, query.sinks, static_cast<int>(window), length, stats);
  }
  fold_window_kernel<<<grid_of(tokens, listed), kThreads, 0, stream>>>(
      logits, stats, static_cast<int>(window), length, rows, tokens, per_head);
  if (stats != nullptr) cudaFreeAsync(stats, stream);
}

void pool_rows(const float* in, int64_t rows, int64_t tokens, bool average, int64_t kernel, float* out,
               cudaStream_t stream) {
  pool_kernel<<<grid_of(tokens, rows), kThreads, 0, stream>>>(in, tokens, average, kernel, out);
}

void normalising_factors(const float* in, int64_t rows, int64_t rows_a_head, int64_t tokens,
                         const float* weights, float* factors, cudaStream_t stream) {
  normalise_kernel<<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(in, rows_a_head, tokens, weights,
                                                                         factors);
}

void plain_factors(int64_t rows, int64_t rows_a_head, const float* weights, float* factors,
                   cudaStream_t stream) {
  plain_kernel<<<blocks_for(rows, kThreads), kThreads, 0, stream>>>(rows, rows_a_head, weights, factors);
}

void fold_heads(const float* per_head, const float* factors, const HeadFold& fold, float* out,
                cudaStream_t stream) {
  fold_heads_kernel<<<grid_of(fold.tokens, fold.rows), kThreads, 0, stream>>>(per_head, factors, fold, out);
}

void fold_layer(const View& layer, const double* moments, bool maximum, float* out, cudaStream_t stream) {
  fold_layer_kernel<<<blocks_for(layer.columns, kThreads), kThreads, 0, stream>>>(
      data_of<float>(layer), layer.row_stride, layer.rows, moments, maximum, layer.columns, out);
}

void fill(float* out, int64_t count, float value, cudaStream_t stream) {
  fill_kernel<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(out, count, value);
}

void row_moments(const View& layer, double* moments, cudaStream_t stream) {
  moments_kernel<<<static_cast<unsigned>(layer.rows), kThreads, 0, stream>>>(
      data_of<float>(layer), layer.row_stride, layer.columns, moments);
}

void subtract_ranks(const float* scores, int64_t tokens, double weight, float* out, cudaStream_t stream) {
  ranks_kernel<<<blocks_for(tokens, kThreads), kThreads, 0, stream>>>(scores, tokens, weight, out);
}

}  // namespace claa::cuda
