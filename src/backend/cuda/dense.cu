#include "backend/cuda/dense.h"
#include "backend/cuda/device.cuh"

namespace claa::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void embed_kernel(const T* table, int64_t stride, const int32_t* ids, float scale, float* out,
                             int64_t out_stride, int64_t columns) {
  const T* from = table + ids[blockIdx.x] * stride;
  float* to = out + blockIdx.x * out_stride;
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) to[c] = scale * load(from + c);
}

__device__ void store4(float* p, float4 v) {
  *reinterpret_cast<float4*>(p) = v;
}
__device__ void store4(Bfloat* p, float4 v) {
  const __nv_bfloat162 low = __floats2bfloat162_rn(v.x, v.y), high = __floats2bfloat162_rn(v.z, v.w);
  *reinterpret_cast<uint2*>(p) = {*reinterpret_cast<const unsigned*>(&low),
                                  *reinterpret_cast<const unsigned*>(&high)};
}

// One block per row; the second read of the row comes from the cache.
template <typename T>
__global__ void rms_norm_kernel(const float* x, int64_t stride, const float* weight, float eps, T* out,
                                int64_t out_stride, int columns) {
  x += blockIdx.x * stride;
  out += blockIdx.x * out_stride;
  float squares = 0;
  const bool vectors = columns % 4 == 0 && stride % 4 == 0 && out_stride % 4 == 0;
  if (vectors) {
    const float4* from = reinterpret_cast<const float4*>(x);
    for (int c = threadIdx.x; c < columns / 4; c += blockDim.x) {
      const float4 v = from[c];
      squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
  } else {
    for (int c = threadIdx.x; c < columns; c += blockDim.x) squares += x[c] * x[c];
  }
  const float scale = 1.0f / sqrtf(block_reduce(squares, Add{}) / static_cast<float>(columns) + eps);
  if (vectors) {
    for (int c = threadIdx.x * 4; c < columns; c += blockDim.x * 4) {
      const float4 v = *reinterpret_cast<const float4*>(x + c),
                   w = *reinterpret_cast<const float4*>(weight + c);
      store4(out + c, {v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w});
    }
  } else {
    for (int c = threadIdx.x; c < columns; c += blockDim.x) store(out + c, x[c] * scale * weight[c]);
  }
}

// One block per row: out += the norm of x.
__global__ void add_rms_norm_kernel(const float* x, int64_t stride, const float* weight, float eps,
                                    float* out, int64_t out_stride, int columns) {
  x += blockIdx.x * stride;
  out += blockIdx.x * out_stride;
  float squares = 0;
  for (int c = threadIdx.x; c < columns; c += blockDim.x) squares += x[c] * x[c];
  const float scale = 1.0f / sqrtf(block_reduce(squares, Add{}) / static_cast<float>(columns) + eps);
  for (int c = threadIdx.x; c < columns; c += blockDim.x) out[c] += x[c] * scale * weight[c];
}

template <typename T>
__global__ void convert_kernel(const float* x, int64_t stride, T* out, int64_t out_stride, int64_t columns) {
  x += blockIdx.x * stride;
  out += blockIdx.x * out_stride;
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) store(out + c, x[c]);
}

__global__ void soft_cap_kernel(float* x, int64_t stride, float cap, int64_t columns) {
  const int64_t c = blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  x += blockIdx.x * stride;
  if (c < columns) x[c] = soft_capped(x[c], cap);
}

// One block per row and head, in place.
template <typename T>
__global__ void norm_heads_kernel(T* x, int64_t stride, int head_size, const float* weight, float eps) {
  x += blockIdx.x * stride + static_cast<int64_t>(blockIdx.y) * head_size;
  float squares = 0;
  for (int c = threadIdx.x; c < head_size; c += blockDim.x) squares += load(x + c) * load(x + c);
  const float scale = 1.0f / sqrtf(block_reduce(squares, Add{}) / static_cast<float>(head_size) + eps);
  for (int c = threadIdx.x; c < head_size; c += blockDim.x) store(x + c, load(x + c) * scale * weight[c]);
}

template <typename T>
__global__ void add_bias_kernel(T* x, int64_t stride, const float* bias, int64_t columns) {
  x += blockIdx.x * stride;
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) store(x + c, load(x + c) + bias[c]);
}

// Rotates pair `i` of a head, or copies value `i - half` of the part that is not rotated.
template <typename In, typename Out>
__device__ void rotate(const In* x, Out* out, int i, const RopeView& rope, int64_t position) {
  const int half = static_cast<int>(rope.half);
  if (i >= half) {
    const int at = i + half;
    store(out + at, load(x + at));
    return;
  }
  const int first = rope.interleaved ? 2 * i : i, second = rope.interleaved ? 2 * i + 1 : i + half;
  const float c = rope.cos[position * half + i], s = rope.sin[position * half + i];
  const float a = load(x + first), b = load(x + second);
  store(out + first, a * c - b * s);
  store(out + second, a * s + b * c);
}

// Eight bf16 values of a head, from value `at` on, or eight pairs of halves: 16 bytes per load. `cos` and
// `sin` are the position's.
template <bool kInterleaved>
__device__ void rotate8(const Bfloat* x, Bfloat* out, int at, int half, const float* cos, const float* sin) {
  constexpr int kTurns = kInterleaved ? 4 : 8;
  const int turn = kInterleaved ? at / 2 : at;
  alignas(16) float c[kTurns], s[kTurns];
#pragma unroll
  for (int i = 0; i < kTurns; i += 4) {
    *reinterpret_cast<float4*>(c + i) = *reinterpret_cast<const float4*>(cos + turn + i);
    *reinterpret_cast<float4*>(s + i) = *reinterpret_cast<const float4*>(sin + turn + i);
  }
  uint4 first = *reinterpret_cast<const uint4*>(x + at), second;
  if constexpr (!kInterleaved) second = *reinterpret_cast<const uint4*>(x + at + half);
  Bfloat* a = reinterpret_cast<Bfloat*>(&first);
  Bfloat* b = kInterleaved ? a + 1 : reinterpret_cast<Bfloat*>(&second);
  constexpr int kStep = kInterleaved ? 2 : 1;
#pragma unroll
  for (int i = 0; i < kTurns; ++i) {
    const float u = load(a + i * kStep), v = load(b + i * kStep);
    store(a + i * kStep, u * c[i] - v * s[i]);
    store(b + i * kStep, u * s[i] + v * c[i]);
  }
  *reinterpret_cast<uint4*>(out + at) = first;
  if constexpr (!kInterleaved) *reinterpret_cast<uint4*>(out + at + half) = second;
}

// For heads that are rotated as a whole; a thread has unit n of a row, head by head. Where units are pairs of
// halves, a head has half as many.
template <bool kInterleaved>
__device__ void rotate_unit(const Bfloat* x, Bfloat* out, int64_t out_plane, int n, int head_size,
                            const float* cos, const float* sin) {
  const int units = head_size / (kInterleaved ? 8 : 16), head = n / units;
  rotate8<kInterleaved>(x + head * head_size, out + head * out_plane, n % units * 8, head_size / 2, cos, sin);
}

template <bool kInterleaved>
__global__ void rope_bf16_kernel(const Bfloat* q, int64_t stride, int units, int head_size, RopeView rope,
                                 const int32_t* positions, Bfloat* out, int64_t out_stride) {
  const int64_t row = blockIdx.x, turn = positions[row] * rope.half;
  for (int n = threadIdx.x; n < units; n += blockDim.x) {
    rotate_unit<kInterleaved>(q + row * stride, out + row * out_stride, head_size, n, head_size,
                              rope.cos + turn, rope.sin + turn);
  }
}

template <bool kInterleaved>
__global__ void rope_store_bf16_kernel(const Bfloat* kv, int64_t stride, int heads, int head_size,
                                       RopeView rope, const int32_t* positions, Bfloat* k, Bfloat* v,
                                       int64_t k_plane, int64_t v_plane, Slot slot) {
  const int64_t row = blockIdx.x, turn = positions[row] * rope.half;
  const int64_t at = ((slot.address != nullptr ? *slot.address : slot.value) + row) * head_size;
  const int units = heads * head_size / (kInterleaved ? 8 : 16), copies = heads * head_size / 8;
  kv += row * stride;
  for (int n = threadIdx.x; n < units + copies; n += blockDim.x) {
    if (n < units) {
      rotate_unit<kInterleaved>(kv, k + at, k_plane, n, head_size, rope.cos + turn, rope.sin + turn);
      continue;
    }
    const int c = (n - units) * 8;
    *reinterpret_cast<uint4*>(v + c / head_size * v_plane + at + c % head_size) =
        *reinterpret_cast<const uint4*>(kv + heads * head_size + c);
  }
}

template <typename In, typename Out>
__global__ void rope_kernel(const In* q, int64_t stride, int heads, int head_size, RopeView rope,
                            const int32_t* positions, Out* out, int64_t out_stride) {
  const int64_t row = blockIdx.x;
  const int per_head = head_size - static_cast<int>(rope.half);
  for (int n = threadIdx.x; n < heads * per_head; n += blockDim.x) {
    const int head = n / per_head;
    rotate(q + row * stride + head * head_size, out + row * out_stride + head * head_size, n % per_head, rope,
           positions[row]);
  }
}

template <typename In, typename Out>
__global__ void rope_store_kernel(const In* kv, int64_t stride, int heads, int head_size, RopeView rope,
                                  const int32_t* positions, Out* k, Out* v, int64_t k_plane, int64_t v_plane,
                                  Slot slot) {
  const int64_t row = blockIdx.x;
  const int64_t at = ((slot.address != nullptr ? *slot.address : slot.value) + row) * head_size;
  const int per_head = head_size - static_cast<int>(rope.half);
  kv += row * stride;
  for (int n = threadIdx.x; n < heads * per_head; n += blockDim.x) {
    const int head = n / per_head;
    rotate(kv + head * head_size, k + head * k_plane + at, n % per_head, rope, positions[row]);
  }
  const In* values = kv + heads * head_size;
  for (int n = threadIdx.x; n < heads * head_size; n += blockDim.x) {
    store(v + (n / head_size) * v_plane + at + n % head_size, load(values + n));
  }
}

template <typename In, typename Out>
__global__ void gate_kernel(Activation activation, const In* gate_up, int64_t stride, Out* out,
                            int64_t out_stride, int64_t columns) {
  const int64_t c = blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (c >= columns) return;
  const In* row = gate_up + blockIdx.x * stride;
  store(out + blockIdx.x * out_stride + c, gate_times(activation, load(row + c), load(row + columns + c)));
}

// Eight values per thread, 16 bytes per load.
__global__ void gate_bf16_kernel(Activation activation, const Bfloat* gate_up, int64_t stride, Bfloat* out,
                                 int64_t out_stride, int64_t columns) {
  const int64_t c = (blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x) * 8;
  if (c >= columns) return;
  const Bfloat* row = gate_up + blockIdx.x * stride;
  const uint4 g = *reinterpret_cast<const uint4*>(row + c),
              u = *reinterpret_cast<const uint4*>(row + columns + c);
  uint4 result;
  const Bfloat* gates = reinterpret_cast<const Bfloat*>(&g);
  const Bfloat* ups = reinterpret_cast<const Bfloat*>(&u);
  Bfloat* to = reinterpret_cast<Bfloat*>(&result);
#pragma unroll
  for (int i = 0; i < 8; ++i)
    to[i] = __float2bfloat16(gate_times(activation, load(gates + i), load(ups + i)));
  *reinterpret_cast<uint4*>(out + blockIdx.x * out_stride + c) = result;
}

__global__ void round_kernel(const float* in, int64_t count, Bfloat* out) {
  const int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i < count) out[i] = __float2bfloat16(in[i]);
}

unsigned rows_of(const View& view) {
  return static_cast<unsigned>(view.rows);
}

// True if the kernels of eight values per thread can rotate such heads.
bool turns_whole(const RopeView& rope, int64_t head_size) {
  const auto tables = reinterpret_cast<uintptr_t>(rope.cos) | reinterpret_cast<uintptr_t>(rope.sin);
  return 2 * rope.half == head_size && rope.half % 8 == 0 && tables % sizeof(float4) == 0;
}
// True if every row can be read and written 16 bytes at a time.
bool wide_loads(const View& view) {
  return view.bf16 && (view.columns | view.row_stride | view.plane_stride) % 8 == 0 &&
         reinterpret_cast<uintptr_t>(view.data) % sizeof(uint4) == 0;
}

}  // namespace

void embed_rows(const View& table, const int32_t* ids, float scale, int64_t first, const View& out,
                cudaStream_t stream) {
  with_type(table, [&](auto* rows) {
    embed_kernel<<<rows_of(out), kThreads, 0, stream>>>(rows + first, table.row_stride, ids, scale,
                                                        data_of<float>(out), out.row_stride, out.columns);
  });
}

void rms_norm_rows(const View& x, const float* weight, float eps, const View& out, cudaStream_t stream) {
  // A row of a decode step waits for its own loads alone: the more threads, the fewer each has.
  constexpr int64_t kFewRows = 8, kLongRow = 2048;
  const int threads = x.rows <= kFewRows && x.columns >= kLongRow ? 1024 : kThreads;
  with_type(out, [&](auto* to) {
    rms_norm_kernel<<<rows_of(x), threads, 0, stream>>>(data_of<float>(x), x.row_stride, weight, eps, to,
                                                        out.row_stride, static_cast<int>(x.columns));
  });
}

void add_rms_norm_rows(const View& x, const float* weight, float eps, const View& out, cudaStream_t stream) {
  add_rms_norm_kernel<<<rows_of(x), kThreads, 0, stream>>>(data_of<float>(x), x.row_stride, weight, eps,
                                                           data_of<float>(out), out.row_stride,
                                                           static_cast<int>(x.columns));
}

void convert_rows(const View& x, const View& out, cudaStream_t stream) {
  with_type(out, [&](auto* to) {
    convert_kernel<<<rows_of(x), kThreads, 0, stream>>>(data_of<float>(x), x.row_stride, to, out.row_stride,
                                                        x.columns);
  });
}

void soft_cap_rows(const View& x, float cap, cudaStream_t stream) {
  const dim3 grid(rows_of(x), blocks_for(x.columns, kThreads));
  soft_cap_kernel<<<grid, kThreads, 0, stream>>>(data_of<float>(x), x.row_stride, cap, x.columns);
}

void norm_head_rows(const View& x, int64_t heads, int64_t head_size, const float* weight, float eps,
                    cudaStream_t stream) {
  constexpr int kHeadThreads = 64;
  const dim3 grid(rows_of(x), static_cast<unsigned>(heads));
  with_type(x, [&](auto* rows) {
    norm_heads_kernel<<<grid, kHeadThreads, 0, stream>>>(rows, x.row_stride, static_cast<int>(head_size),
                                                         weight, eps);
  });
}

void add_bias_rows(const View& x, const float* bias, cudaStream_t stream) {
  with_type(x, [&](auto* rows) {
    add_bias_kernel<<<rows_of(x), kThreads, 0, stream>>>(rows, x.row_stride, bias, x.columns);
  });
}

void rope_rows(const View& q, int64_t head_size, const RopeView& rope, const int32_t* positions,
               const View& out, cudaStream_t stream) {
  if (turns_whole(rope, head_size) && wide_loads(q) && wide_loads(out)) {
    const int units = static_cast<int>(q.columns) / (rope.interleaved ? 8 : 16);
    const auto launch = [&](auto* kernel) {
      kernel<<<rows_of(q), kThreads, 0, stream>>>(data_of<Bfloat>(q), q.row_stride, units,
                                                  static_cast<int>(head_size), rope, positions,
                                                  data_of<Bfloat>(out), out.row_stride);
    };
    launch(rope.interleaved ? rope_bf16_kernel<true> : rope_bf16_kernel<false>);
    return;
  }
  with_type(q, [&](auto* from) {
    with_type(out, [&](auto* to) {
      rope_kernel<<<rows_of(q), kThreads, 0, stream>>>(
          from, q.row_stride, static_cast<int>(q.columns / head_size), static_cast<int>(head_size), rope,
          positions, to, out.row_stride);
    });
  });
}

void rope_store_rows(const View& kv, const RopeView& rope, const int32_t* positions, const View& k,
                     const View& v, Slot slot, cudaStream_t stream) {
  if (turns_whole(rope, k.columns) && wide_loads(kv) && wide_loads(k) && wide_loads(v)) {
    const auto launch = [&](auto* kernel) {
      kernel<<<rows_of(kv), kThreads, 0, stream>>>(
          data_of<Bfloat>(kv), kv.row_stride, static_cast<int>(k.planes), static_cast<int>(k.columns), rope,
          positions, data_of<Bfloat>(k), data_of<Bfloat>(v), k.plane_stride, v.plane_stride, slot);
    };
    launch(rope.interleaved ? rope_store_bf16_kernel<true> : rope_store_bf16_kernel<false>);
    return;
  }
  with_type(kv, [&](auto* from) {
    with_type(k, [&](auto* keys) {
      using Out = std::remove_pointer_t<decltype(keys)>;
      rope_store_kernel<<<rows_of(kv), kThreads, 0, stream>>>(
          from, kv.row_stride, static_cast<int>(k.planes), static_cast<int>(k.columns), rope, positions, keys,
          data_of<Out>(v), k.plane_stride, v.plane_stride, slot);
    });
  });
}

void gate_rows(const View& gate_up, Activation activation, const View& out, cudaStream_t stream) {
  if (gate_up.bf16 && out.bf16 && out.columns % 8 == 0) {
    const dim3 grid(rows_of(out), blocks_for(out.columns, kThreads * 8));
    gate_bf16_kernel<<<grid, kThreads, 0, stream>>>(activation, data_of<Bfloat>(gate_up), gate_up.row_stride,
                                                    data_of<Bfloat>(out), out.row_stride, out.columns);
    return;
  }
  const dim3 grid(rows_of(out), blocks_for(out.columns, kThreads));
  with_type(gate_up, [&](auto* from) {
    with_type(out, [&](auto* to) {
      gate_kernel<<<grid, kThreads, 0, stream>>>(activation, from, gate_up.row_stride, to, out.row_stride,
                                                 out.columns);
    });
  });
}

void round_to_bf16(const float* in, int64_t count, void* out, cudaStream_t stream) {
  if (count == 0) return;
  round_kernel<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(in, count, static_cast<Bfloat*>(out));
}

}  // namespace claa::cuda
