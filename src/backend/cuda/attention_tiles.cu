// Attention of many rows of bf16 with any ascending counts of visible keys: the loop of FlashAttention-2 on
// mma.sync (Dao, arXiv 2307.08691).
#include <cfloat>

#include "backend/cuda/attention_tiles.cuh"

namespace claa::cuda {
namespace {

constexpr float kLog2E = 1.4426950408889634f;
constexpr int kTileKeys = 64, kTileWarps = 4, kTileThreads = 32 * kTileWarps;
constexpr int kPad = 8;  // values added to each row of a tile, against bank conflicts

template <bool kTransposed>
__device__ void load_matrices(uint32_t (&r)[4], const Bfloat* from) {
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(from));
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
}
__device__ uint32_t pack(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
__device__ float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Copies rows [first, first + kRows) into shared memory, 16 bytes per copy; rows from `length` on become
// zeros, since 0 * NaN would reach the sum.
template <int D, int kRows>
__device__ void copy_tile(const Bfloat* from, int64_t stride, int first, int length, Bfloat* tile) {
  constexpr int kCopies = D / 8;
  for (int n = threadIdx.x; n < kRows * kCopies; n += kTileThreads) {
    const int row = n / kCopies, c = n % kCopies * 8;
    const bool valid = first + row < length;
    const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(tile + row * (D + kPad) + c));
    const Bfloat* source = from + (valid ? first + row : 0) * stride + c;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(source), "r"(valid ? 16 : 0)
                 : "memory");
  }
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
template <int kPending>
__device__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
  __syncthreads();
}

// State of one warp, for kTiles times 16 rows, of which a thread holds lane / 4 and lane / 4 + 8. Keys and
// values that a warp reads from shared memory serve all of its tiles. With two tiles their queries are read
// from there too, because registers would not hold them.
template <int D, int kTiles>
struct WarpRows {
  uint32_t q[kTiles == 1 ? D / 16 : 1][4];
  float sum[kTiles][D / 8][4] = {};
  float top[kTiles][2], total[kTiles][2] = {};
  int seen[kTiles][2];
  int first_row, least, most;  // keys seen by the rows that see fewest and most
};
template <int kTiles>
using Logits = float[kTiles][kTileKeys / 8][4];

template <int D, int kTiles>
__device__ void start_rows(const Inputs<Bfloat>& in, int first_row, WarpRows<D, kTiles>& rows) {
  rows.first_row = first_row;
  rows.least = first_row < in.rows ? in.visible[first_row] : 0;
  rows.most = first_row < in.rows ? in.visible[min(first_row + 16 * kTiles, in.rows) - 1] : 0;
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + t * 16 + static_cast<int>(threadIdx.x) % 32 / 4 + half * 8;
      rows.seen[t][half] = row < in.rows ? in.visible[row] : 0;
      rows.top[t][half] = -FLT_MAX;
      if (row >= in.rows) rows.least = 0;
    }
  }
  rows.least = __reduce_min_sync(~0u, rows.least);
}

// The queries of 16 dimensions of tile t: from registers, or from shared memory.
template <int D, int kTiles>
__device__ void load_queries(const WarpRows<D, kTiles>& rows, const Bfloat* queries, int t, int step,
                             uint32_t (&a)[4]) {
  if constexpr (kTiles == 1) {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = rows.q[step][i];
  } else {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    // The matrices of one load: rows 0-7 and 8-15 of dimensions 0-7, then of 8-15.
    load_matrices<false>(
        a, queries + ((warp * kTiles + t) * 16 + lane % 16) * (D + kPad) + step * 16 + lane / 16 * 8);
  }
}

// s[t][n][...] = products with the tile's keys 8 n ..., or logits where they are capped; keys that are not
// visible get -inf.
template <int D, int kTiles, bool kCapped>
__device__ void tile_logits(const Inputs<Bfloat>& in, const WarpRows<D, kTiles>& rows, const Bfloat* queries,
                            const Bfloat* keys, int first_key, Logits<kTiles>& s) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int n = 0; n < kTileKeys / 8; ++n) s[t][n][0] = s[t][n][1] = s[t][n][2] = s[t][n][3] = 0;
  }
  // The matrices of one load: keys 0-7 and 8-15, dimensions 0-7 and 8-15.
  const Bfloat* from = keys + (lane % 8 + lane / 16 * 8) * (D + kPad) + lane / 8 % 2 * 8;
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    uint32_t a[kTiles][4];
#pragma unroll
    for (int t = 0; t < kTiles; ++t) load_queries(rows, queries, t, step, a[t]);
#pragma unroll
    for (int n = 0; n < kTileKeys / 16; ++n) {
      uint32_t b[4];
      load_matrices<false>(b, from + n * 16 * (D + kPad) + step * 16);
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        mma(s[t][2 * n], a[t], b[0], b[1]);
        mma(s[t][2 * n + 1], a[t], b[2], b[3]);
      }
    }
  }
  if constexpr (kCapped) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int n = 0; n < kTileKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) s[t][n][i] = soft_capped(s[t][n][i] * in.scale, in.soft_cap);
      }
    }
  }
  if (first_key + kTileKeys <= rows.least) return;  // all rows see all of these keys
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int n = 0; n < kTileKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = first_key + n * 8 + lane % 4 * 2 + i % 2;
        if (key >= rows.seen[t][i / 2]) s[t][n][i] = -INFINITY;
      }
    }
  }
}

// Keys of the tile that a row no longer sees, with a sliding window, get -inf.
template <int D, int kTiles>
__device__ void hide_before(const Inputs<Bfloat>& in, const WarpRows<D, kTiles>& rows, int first_key,
                            Logits<kTiles>& s) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = rows.first_row + t * 16 + lane / 4 + half * 8;
      const int first = in.first[min(row, in.rows - 1)] - first_key;
#pragma unroll
      for (int n = 0; n < kTileKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          if (n * 8 + lane % 4 * 2 + i < first) s[t][n][2 * half + i] = -INFINITY;
        }
      }
    }
  }
}

// Turns logits into probabilities against the running maximum, and rescales the earlier sums. `scale` turns
// logits into powers of two.
template <int D, int kTiles>
__device__ void tile_softmax(WarpRows<D, kTiles>& rows, float scale, Logits<kTiles>& s) {
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = rows.top[t][half];
#pragma unroll
      for (int n = 0; n < kTileKeys / 8; ++n)
        top = fmaxf(top, fmaxf(s[t][n][2 * half], s[t][n][2 * half + 1]));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
      const float keep = power_of_two((rows.top[t][half] - top) * scale), shift = top * scale;
      rows.top[t][half] = top;
      float total = 0;
#pragma unroll
      for (int n = 0; n < kTileKeys / 8; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          s[t][n][i] = power_of_two(fmaf(s[t][n][i], scale, -shift));
          total += s[t][n][i];
        }
      }
      rows.total[t][half] = rows.total[t][half] * keep + total;
#pragma unroll
      for (int c = 0; c < D / 8; ++c) rows.sum[t][c][2 * half] *= keep, rows.sum[t][c][2 * half + 1] *= keep;
    }
  }
}

template <int D, int kTiles>
__device__ void add_values(WarpRows<D, kTiles>& rows, const Logits<kTiles>& p, const Bfloat* values) {
  const int lane = threadIdx.x % 32;
  // The matrices of one load: keys 0-7 and 8-15 of dimensions 0-7, then of 8-15.
  const Bfloat* from = values + lane % 16 * (D + kPad) + lane / 16 * 8;
#pragma unroll
  for (int step = 0; step < kTileKeys / 16; ++step) {
    uint32_t a[kTiles][4];
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      const float(&low)[4] = p[t][2 * step], (&high)[4] = p[t][2 * step + 1];
      a[t][0] = pack(low[0], low[1]), a[t][1] = pack(low[2], low[3]);
      a[t][2] = pack(high[0], high[1]), a[t][3] = pack(high[2], high[3]);
    }
#pragma unroll
    for (int c = 0; c < D / 16; ++c) {
      uint32_t b[4];
      load_matrices<true>(b, from + step * 16 * (D + kPad) + c * 16);
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        mma(rows.sum[t][2 * c], a[t], b[0], b[1]);
        mma(rows.sum[t][2 * c + 1], a[t], b[2], b[3]);
      }
    }
  }
}

// `scale` as above.
template <int D, int kTiles>
__device__ void store_rows(const Inputs<Bfloat>& in, int head, float scale, const WarpRows<D, kTiles>& rows) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = rows.first_row + t * 16 + lane / 4 + half * 8;
      float total = rows.total[t][half];
      total += __shfl_xor_sync(~0u, total, 1);
      total += __shfl_xor_sync(~0u, total, 2);
      if (row >= in.rows) continue;
      if (in.sinks != nullptr) total += power_of_two(in.sinks[head] * kLog2E - rows.top[t][half] * scale);
      Bfloat* out = in.out + row * in.out_stride + head * D + lane % 4 * 2;
#pragma unroll
      for (int c = 0; c < D / 8; ++c) {
        *reinterpret_cast<uint32_t*>(out + c * 8) =
            pack(rows.sum[t][c][2 * half] / total, rows.sum[t][c][2 * half + 1] / total);
      }
    }
  }
}

// One block has kTiles * 64 rows of one head.
template <int D, int kTiles, bool kCapped>
__global__ void __launch_bounds__(kTileThreads) tile_kernel(Inputs<Bfloat> in) {
  constexpr int kRows = 16 * kTiles * kTileWarps;
  extern __shared__ __align__(16) unsigned char memory[];
  Bfloat* keys = reinterpret_cast<Bfloat*>(memory);
  Bfloat* values = keys + kTileKeys * (D + kPad);
  Bfloat* queries = values + kTileKeys * (D + kPad);
  // The last rows see most keys: those of all heads start first, and the short ones fill what is left.
  const int tile = static_cast<int>(gridDim.y - 1 - blockIdx.y), head = blockIdx.x;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Bfloat* q = in.q + head * D;
  const Bfloat* k = in.k + (head / in.group) * in.k_plane;
  const Bfloat* v = in.v + (head / in.group) * in.v_plane;
  copy_tile<D, kRows>(q, in.q_stride, tile * kRows, in.rows, queries);
  const int begin = first_of(in, tile * kRows) / kTileKeys * kTileKeys;
  copy_tile<D, kTileKeys>(k, in.k_stride, begin, in.length, keys);
  WarpRows<D, kTiles> rows;
  start_rows(in, tile * kRows + warp * 16 * kTiles, rows);
  if constexpr (kTiles == 1) {
    wait_copies<1>();
#pragma unroll
    for (int step = 0; step < D / 16; ++step)
      load_matrices<false>(rows.q[step],
                           queries + (warp * 16 + lane % 16) * (D + kPad) + step * 16 + lane / 16 * 8);
  }
  const int end = in.visible[min(tile * kRows + kRows, in.rows) - 1];
  const float scale = (kCapped ? 1.0f : in.scale) * kLog2E;
  for (int first = begin; first < end; first += kTileKeys) {
    const bool seen = first < rows.most;  // by any row of this warp
    copy_tile<D, kTileKeys>(v, in.v_stride, first, in.length, values);
    wait_copies<1>();
    Logits<kTiles> s;
    if (seen) tile_logits<D, kTiles, kCapped>(in, rows, queries, keys, first, s);
    if (seen && in.first != nullptr) hide_before(in, rows, first, s);
    __syncthreads();  // all keys are read: the next ones may arrive while values are added
    if (first + kTileKeys < end) copy_tile<D, kTileKeys>(k, in.k_stride, first + kTileKeys, in.length, keys);
    if (seen) tile_softmax(rows, scale, s);
    if (first + kTileKeys < end) {
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    if (seen) add_values(rows, s, values);
    __syncthreads();  // all values are read
  }
  store_rows(in, head, scale, rows);
}

template <int D, int kTiles, bool kCapped>
void launch_kernel(const Inputs<Bfloat>& in, int heads, cudaStream_t stream) {
  constexpr int kRows = 16 * kTiles * kTileWarps;
  constexpr size_t kBytes = sizeof(Bfloat) * (2 * kTileKeys + kRows) * (D + kPad);
  static const cudaError_t raised = cudaFuncSetAttribute(
      tile_kernel<D, kTiles, kCapped>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kBytes));
  static_cast<void>(raised);  // a failure shows at the launch
  const dim3 grid(static_cast<unsigned>(heads), blocks_for(in.rows, kRows));
  tile_kernel<D, kTiles, kCapped><<<grid, kTileThreads, kBytes, stream>>>(in);
}

template <int D, int kTiles>
void launch(const Inputs<Bfloat>& in, int heads, cudaStream_t stream) {
  if (in.soft_cap > 0) {
    launch_kernel<D, kTiles, true>(in, heads, stream);
  } else {
    launch_kernel<D, kTiles, false>(in, heads, stream);
  }
}

// Uses two tiles per warp where blocks of that size still come several to a multiprocessor, so that long and
// short ones even out.
template <int D>
void launch_best(const Inputs<Bfloat>& in, int heads, cudaStream_t stream) {
  constexpr int kLargeRows = 32 * kTileWarps, kBlocksEach = 3;
  static const int processors = [] {
    int count = 0;
    cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0);
    return count;
  }();
  const int64_t blocks = static_cast<int64_t>(heads) * blocks_for(in.rows, kLargeRows);
  if (blocks >= kBlocksEach * processors) {
    launch<D, 2>(in, heads, stream);
  } else {
    launch<D, 1>(in, heads, stream);
  }
}

// True if the 16-byte copies are aligned.
bool tiles_fit(const Inputs<Bfloat>& in) {
  const auto addresses = reinterpret_cast<uintptr_t>(in.q) | reinterpret_cast<uintptr_t>(in.k) |
                         reinterpret_cast<uintptr_t>(in.v);
  return addresses % 16 == 0 &&
         (in.k_stride | in.v_stride | in.k_plane | in.v_plane | in.q_stride) % 8 == 0 &&
         in.out_stride % 2 == 0 && in.rows >= 8;
}

}  // namespace

bool launch_tiles(const Inputs<Bfloat>& in, int heads, cudaStream_t stream) {
  if (!tiles_fit(in)) return false;
  switch (in.head_size) {
    case 32:
      launch<32, 1>(in, heads, stream);
      return true;
    case 64:
      launch_best<64>(in, heads, stream);
      return true;
    case 80:
      launch<80, 1>(in, heads, stream);
      return true;
    case 96:
      launch<96, 1>(in, heads, stream);
      return true;
    case 128:
      launch_best<128>(in, heads, stream);
      return true;
    case 256:
      launch<256, 1>(in, heads, stream);
      return true;
    default:
      return false;
  }
}

}  // namespace claa::cuda
