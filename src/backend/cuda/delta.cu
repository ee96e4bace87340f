#include "backend/cuda/delta.h"
#include "backend/cuda/device.cuh"

namespace claa::cuda {
namespace {

constexpr int kDeltaThreads = 256;

__device__ float logistic(float x) {
  return 1.0f / (1.0f + expf(-x));
}

template <typename Gate, typename T>
__global__ void gate_output_kernel(const Gate* gate, int64_t gate_stride, T* x, int64_t stride,
                                   int64_t columns) {
  const int64_t c = blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (c >= columns) return;
  T* at = x + blockIdx.x * stride + c;
  store(at, load(at) * logistic(load(gate + blockIdx.x * gate_stride + c)));
}

__global__ void add_gated_rows_kernel(const float* x, int64_t stride, const float* gate, float* out,
                                      int64_t out_stride, int64_t columns) {
  const int64_t c = blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (c < columns)
    out[blockIdx.x * out_stride + c] += logistic(gate[blockIdx.x]) * x[blockIdx.x * stride + c];
}

// A value of the carried rows and those of x, one after another.
template <typename In>
__device__ float convolved(const In* x, int64_t stride, const float* columns, int carried, int64_t channels,
                           int64_t row, int64_t c) {
  return row < carried ? columns[row * channels + c] : load(x + (row - carried) * stride + c);
}

template <typename In>
__global__ void convolve_kernel(const In* x, int64_t stride, const float* weight, int width,
                                const float* columns, int64_t channels, float* out, int64_t out_stride) {
  const int64_t row = blockIdx.x, c = blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (c >= channels) return;
  float sum = 0;
  for (int j = 0; j < width; ++j)
    sum += weight[j * channels + c] * convolved(x, stride, columns, width - 1, channels, row + j, c);
  out[row * out_stride + c] = sum * logistic(sum);
}

// A thread has a channel, whose rows move up in order.
template <typename In>
__global__ void carry_kernel(const In* x, int64_t stride, int64_t rows, int carried, float* columns,
                             int64_t channels) {
  const int64_t c = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (c >= channels) return;
  for (int r = 0; r < carried; ++r)
    columns[r * channels + c] = convolved(x, stride, columns, carried, channels, rows + r, c);
}

// One block per row and head, in place.
__global__ void unit_heads_kernel(float* x, int64_t stride, int head_size, float eps) {
  x += blockIdx.x * stride + static_cast<int64_t>(blockIdx.y) * head_size;
  float squares = 0;
  for (int c = threadIdx.x; c < head_size; c += blockDim.x) squares += x[c] * x[c];
  const float scale = 1.0f / sqrtf(block_reduce(squares, Add{}) + eps);
  for (int c = threadIdx.x; c < head_size; c += blockDim.x) x[c] *= scale;
}

// Dimensions of a value are independent of each other: a block has 32 of one head, and keeps their memory in
// registers, kPer values of a column in each of 8 lanes. Rows come through shared memory, kTile at a time.
constexpr int kDeltaColumns = 32, kDeltaLanes = 8;

template <int kPer>
struct DeltaTile {
  static constexpr int kKeys = kDeltaLanes * kPer;
  static constexpr int kTile = kKeys > 128 ? 16 : 32;
  float q[kTile][kKeys], k[kTile][kKeys], v[kTile][kDeltaColumns], shrink[kTile], take[kTile];

  // Dimensions behind the head's are zeros.
  __device__ void load(const DeltaCall& call, int head, int first_column, int first, int rows) {
    const int keys = call.key_heads * call.size, key = head % call.key_heads * call.size;
    const int64_t stride = 2 * keys + call.value_heads * call.size;
    for (int n = threadIdx.x; n < rows * kKeys; n += kDeltaThreads) {
      const int r = n / kKeys, i = n % kKeys;
      const float* row = call.qkv + (first + r) * stride + key + i;
      q[r][i] = i < call.size ? row[0] : 0.0f;
      k[r][i] = i < call.size ? row[keys] : 0.0f;
    }
    for (int n = threadIdx.x; n < rows * kDeltaColumns; n += kDeltaThreads) {
      const int r = n / kDeltaColumns, c = first_column + n % kDeltaColumns;
      const float* row = call.qkv + (first + r) * stride + 2 * keys + head * call.size;
      v[r][n % kDeltaColumns] = c < call.size ? row[c] : 0.0f;
    }
    for (int r = threadIdx.x; r < rows; r += kDeltaThreads) {
      const float* input = call.inputs + (first + r) * static_cast<int64_t>(2 * call.value_heads) + head;
      const float x = input[0] + call.step[head];
      shrink[r] = expf(call.decay[head] * (fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)))));
      take[r] = logistic(input[call.value_heads]);
    }
  }
};

__device__ float over_lanes(float sum) {
#pragma unroll
  for (int offset = kDeltaLanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  return sum;
}

// The dimension of a key that value j of a lane belongs to: four neighbours, read at once.
__device__ int key_of(int lane, int j) {
  return j / 4 * 4 * kDeltaLanes + lane * 4 + j % 4;
}

template <int kPer>
__device__ void load_keys(const float* row, int lane, float (&values)[kPer]) {
#pragma unroll
  for (int j = 0; j < kPer; j += 4)
    *reinterpret_cast<float4*>(values + j) = *reinterpret_cast<const float4*>(row + key_of(lane, j));
}

template <int kPer>
__global__ void __launch_bounds__(kDeltaThreads) delta_kernel(DeltaCall call) {
  using Tile = DeltaTile<kPer>;
  __shared__ __align__(16) Tile tile;
  const int head = blockIdx.y, first_column = blockIdx.x * kDeltaColumns;
  const int column = threadIdx.x / kDeltaLanes, lane = threadIdx.x % kDeltaLanes, c = first_column + column;
  const float scale = 1.0f / sqrtf(static_cast<float>(call.size));
  float* memory = call.memory + static_cast<int64_t>(head) * call.size * call.size + c;
  const auto exists = [&](int j) { return c < call.size && key_of(lane, j) < call.size; };
  float s[kPer];
#pragma unroll
  for (int j = 0; j < kPer; ++j) s[j] = exists(j) ? memory[key_of(lane, j) * call.size] : 0.0f;
  for (int first = 0; first < call.rows; first += Tile::kTile) {
    const int rows = min(Tile::kTile, call.rows - first);
    __syncthreads();
    tile.load(call, head, first_column, first, rows);
    __syncthreads();
    for (int r = 0; r < rows; ++r) {
      alignas(16) float key[kPer], query[kPer];
      load_keys(tile.k[r], lane, key);
      load_keys(tile.q[r], lane, query);
      float known = 0, sum = 0;
#pragma unroll
      for (int j = 0; j < kPer; ++j) known += key[j] * s[j];
      const float shrink = tile.shrink[r];
      const float taken = tile.take[r] * (tile.v[r][column] - shrink * over_lanes(known));
#pragma unroll
      for (int j = 0; j < kPer; ++j) {
        s[j] = shrink * s[j] + key[j] * taken;
        sum += query[j] * s[j];
      }
      sum = over_lanes(sum);
      if (lane == 0 && c < call.size)
        call.out[(first + r) * static_cast<int64_t>(call.value_heads * call.size) + head * call.size + c] =
            scale * sum;
    }
  }
#pragma unroll
  for (int j = 0; j < kPer; ++j) {
    if (exists(j)) memory[key_of(lane, j) * call.size] = s[j];
  }
}

// One block per row and head.
template <typename Gate, typename Out>
__global__ void gated_norm_heads_kernel(const float* x, int64_t stride, const Gate* gate, int64_t gate_stride,
                                        int head_size, const float* weight, float eps, Out* out,
                                        int64_t out_stride) {
  const int64_t row = blockIdx.x, first = static_cast<int64_t>(blockIdx.y) * head_size;
  x += row * stride + first, gate += row * gate_stride + first, out += row * out_stride + first;
  float squares = 0;
  for (int c = threadIdx.x; c < head_size; c += blockDim.x) squares += x[c] * x[c];
  const float scale = 1.0f / sqrtf(block_reduce(squares, Add{}) / static_cast<float>(head_size) + eps);
  for (int c = threadIdx.x; c < head_size; c += blockDim.x) {
    const float g = load(gate + c);
    store(out + c, x[c] * scale * weight[c] * g * logistic(g));
  }
}

unsigned count_of(int64_t rows) {
  return static_cast<unsigned>(rows);
}

}  // namespace

void gate_output_rows(const View& gate, const View& x, cudaStream_t stream) {
  const dim3 grid(count_of(x.rows), blocks_for(x.columns, kDeltaThreads));
  with_type(gate, [&](auto* by) {
    with_type(x, [&](auto* to) {
      gate_output_kernel<<<grid, kDeltaThreads, 0, stream>>>(by, gate.row_stride, to, x.row_stride,
                                                             x.columns);
    });
  });
}

void add_gated_rows_of(const View& x, const float* gate, const View& out, cudaStream_t stream) {
  const dim3 grid(count_of(x.rows), blocks_for(x.columns, kDeltaThreads));
  add_gated_rows_kernel<<<grid, kDeltaThreads, 0, stream>>>(data_of<float>(x), x.row_stride, gate,
                                                            data_of<float>(out), out.row_stride, x.columns);
}

void convolve_rows(const View& x, const float* weight, int64_t width, float* columns, const View& out,
                   cudaStream_t stream) {
  const unsigned blocks = blocks_for(x.columns, kDeltaThreads);
  const int taps = static_cast<int>(width);
  with_type(x, [&](auto* from) {
    convolve_kernel<<<dim3(count_of(x.rows), blocks), kDeltaThreads, 0, stream>>>(
        from, x.row_stride, weight, taps, columns, x.columns, data_of<float>(out), out.row_stride);
    carry_kernel<<<blocks, kDeltaThreads, 0, stream>>>(from, x.row_stride, x.rows, taps - 1, columns,
                                                       x.columns);
  });
}

void unit_head_rows(const View& x, int64_t heads, int64_t head_size, float eps, cudaStream_t stream) {
  constexpr int kHeadThreads = 64;
  unit_heads_kernel<<<dim3(count_of(x.rows), count_of(heads)), kHeadThreads, 0, stream>>>(
      data_of<float>(x), x.row_stride, static_cast<int>(head_size), eps);
}

void delta_rows(const DeltaCall& call, cudaStream_t stream) {
  const dim3 grid(blocks_for(call.size, kDeltaColumns), count_of(call.value_heads));
  const auto launch = [&](auto* kernel) { kernel<<<grid, kDeltaThreads, 0, stream>>>(call); };
  if (call.size <= 32) {
    launch(delta_kernel<4>);
  } else if (call.size <= 64) {
    launch(delta_kernel<8>);
  } else if (call.size <= 128) {
    launch(delta_kernel<16>);
  } else {
    launch(delta_kernel<32>);
  }
}

void gated_norm_head_rows(const View& x, const View& gate, int64_t head_size, const float* weight, float eps,
                          const View& out, cudaStream_t stream) {
  constexpr int kHeadThreads = 64;
  const dim3 grid(count_of(x.rows), count_of(x.columns / head_size));
  with_type(gate, [&](auto* by) {
    with_type(out, [&](auto* to) {
      gated_norm_heads_kernel<<<grid, kHeadThreads, 0, stream>>>(data_of<float>(x), x.row_stride, by,
                                                                 gate.row_stride, static_cast<int>(head_size),
                                                                 weight, eps, to, out.row_stride);
    });
  });
}

}  // namespace claa::cuda
