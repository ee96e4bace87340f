#include "backend/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "backend/host_ops.h"

namespace claa::cpu {
namespace {

constexpr int kKeyBlock = 128;  // keys of one online-softmax step: K and V blocks of a head stay in L1 and L2
constexpr int kTileRows = 96;   // query rows x heads of a tile
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Scratch of one thread for one tile of M = rows x group query vectors.
struct Tile {
  Tile(int64_t m, int64_t depth, int64_t padded_head, bool pairs)
      : q(static_cast<size_t>(m * depth)),
        s(static_cast<size_t>(m * kKeyBlock)),
        p(pairs ? static_cast<size_t>(m * kKeyBlock / 2) : 0),
        o(static_cast<size_t>(m * padded_head)),
        max(static_cast<size_t>(m)),
        sum(static_cast<size_t>(m)) {}
  void reset() {
    std::fill(o.begin(), o.end(), 0.0f);
    std::fill(max.begin(), max.end(), kMinusInfinity);
    std::fill(sum.begin(), sum.end(), 0.0f);
  }
  std::vector<uint32_t> q;  // [M, depth] units
  std::vector<float> s;     // [M, keys of the block] raw products
  std::vector<uint32_t> p;  // [M, pairs of keys] probabilities in bf16; f32 ones overwrite s
  std::vector<float> o;     // [M, padded head] sums so far
  std::vector<float> max, sum;
};

// Copies query vectors [head_size] of the activation type into kernel units.
void load_units(const Kernels& kernels, const Tensor& q, int64_t row, int64_t column, int64_t head_size,
                bool pairs, uint32_t* out) {
  if (q.dtype == DType::kF32) {
    std::memcpy(out, q.ptr<float>(0, row) + column, static_cast<size_t>(head_size) * sizeof(float));
  } else if (pairs) {
    std::memcpy(out, q.ptr<uint16_t>(0, row) + column, static_cast<size_t>(head_size) * sizeof(uint16_t));
  } else {
    kernels.to_f32(q.ptr<uint16_t>(0, row) + column, head_size, reinterpret_cast<float*>(out));
  }
}

// Everything that the tiles of one call share.
struct Job {
  const Kernels& kernels;
  const Tensor& q;
  const CpuPackedKv& packed;
  std::span<const int32_t> visible;
  const Tensor& out;
  int64_t head_size;
  int64_t group;  // query heads of a KV head
  int64_t tile_rows;
};

void run_block(const Job& job, Tile& tile, int64_t head, int64_t first_row, int64_t rows, int64_t first_key,
               int64_t limit) {
  const Kernels& kernels = job.kernels;
  const int panel = kernels.panel;
  const int m = static_cast<int>(rows * job.group);
  const int n = static_cast<int>(round_up(std::min<int64_t>(kKeyBlock, limit - first_key), panel));
  const int64_t depth = job.packed.depth;
  kernels.gemm(m, n, static_cast<int>(depth), tile.q.data(), depth,
               job.packed.k(head) + first_key / panel * depth * panel, depth * panel, panel, tile.s.data(),
               kKeyBlock, false);
  const float scale = 1.0f / std::sqrt(static_cast<float>(job.head_size));
  // Probabilities as units of the second product: in place of s, or bf16 pairs beside it.
  uint32_t* p = job.packed.pairs ? tile.p.data() : reinterpret_cast<uint32_t*>(tile.s.data());
  const int64_t p_stride = job.packed.pairs ? kKeyBlock / 2 : kKeyBlock;
  const int units = job.packed.pairs ? n / 2 : n;
  for (int i = 0; i < m; ++i) {
    float* s = tile.s.data() + i * kKeyBlock;
    const int64_t seen = job.visible[static_cast<size_t>(first_row + i / job.group)] - first_key;
    if (seen < n) std::fill(s + std::max<int64_t>(seen, 0), s + n, kMinusInfinity);
    kernels.softmax_step(s, n, scale, &tile.max[static_cast<size_t>(i)], &tile.sum[static_cast<size_t>(i)],
                         p + i * p_stride, tile.o.data() + i * job.packed.padded_head,
                         static_cast<int>(job.packed.padded_head));
  }
  const int64_t first_unit = job.packed.pairs ? first_key / 2 : first_key;
  kernels.gemm(m, static_cast<int>(job.packed.padded_head), units, p, p_stride,
               job.packed.v(head) + first_unit * job.packed.padded_head, panel, job.packed.padded_head,
               tile.o.data(), job.packed.padded_head, true);
}

void run_tile(const Job& job, Tile& tile, int64_t head, int64_t index) {
  const int64_t first_row = index * job.tile_rows;
  const int64_t rows = std::min(job.tile_rows, job.q.rows() - first_row);
  tile.reset();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < job.group; ++g) {
      load_units(job.kernels, job.q, first_row + r, (head * job.group + g) * job.head_size, job.head_size,
                 job.packed.pairs, tile.q.data() + (r * job.group + g) * job.packed.depth);
    }
  }
  const int64_t limit =
      job.visible[static_cast<size_t>(first_row + rows - 1)];  // causal skipping: keys beyond it
  for (int64_t key = 0; key < limit; key += kKeyBlock)
    run_block(job, tile, head, first_row, rows, key, limit);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < job.group; ++g) {
      const int64_t i = r * job.group + g;
      store_row(job.kernels, tile.o.data() + i * job.packed.padded_head, tile.sum[static_cast<size_t>(i)],
                job.head_size, job.out, first_row + r, (head * job.group + g) * job.head_size);
    }
  }
}

}  // namespace

void store_row(const Kernels& kernels, float* o, float sum, int64_t head_size, const Tensor& out, int64_t row,
               int64_t column) {
  const float inverse = 1.0f / sum;
  for (int64_t i = 0; i < head_size; ++i) o[i] *= inverse;
  if (out.dtype == DType::kBF16) {
    kernels.to_bf16(o, head_size, out.ptr<uint16_t>(0, row) + column);
  } else {
    std::memcpy(out.ptr<float>(0, row) + column, o, static_cast<size_t>(head_size) * sizeof(float));
  }
}

void CpuPackedKv::pack_keys(const Kernels& kernels, const KvView& kv, int64_t head, int64_t panel) {
  const int64_t width = kernels.panel;
  const int64_t head_size = kv.k.columns();
  uint32_t* to = k_.data() + head * k_stride_ + panel * depth * width;
  std::vector<float> wide(static_cast<size_t>(head_size));
  for (int64_t column = 0; column < width; ++column) {
    const int64_t slot = panel * width + column;
    if (slot >= length) {
      for (int64_t u = 0; u < depth; ++u) to[u * width + column] = 0;
      continue;
    }
    const uint32_t* from = reinterpret_cast<const uint32_t*>(wide.data());
    if (kv.k.dtype == DType::kF32) {
      from = reinterpret_cast<const uint32_t*>(kv.k.ptr<float>(head, slot));
    } else if (pairs) {
      from = reinterpret_cast<const uint32_t*>(kv.k.ptr<uint16_t>(head, slot));
    } else {
      kernels.to_f32(kv.k.ptr<uint16_t>(head, slot), head_size, wide.data());
    }
    for (int64_t u = 0; u < depth; ++u) to[u * width + column] = from[u];
  }
}

void CpuPackedKv::pack_values(const Kernels& kernels, const KvView& kv, int64_t head, int64_t panel) {
  const int64_t head_size = kv.v.columns();
  const int64_t step = pairs ? 2 : 1;
  for (int64_t slot = panel * kernels.panel; slot < (panel + 1) * kernels.panel; slot += step) {
    uint32_t* to = v_.data() + head * v_stride_ + slot / step * padded_head;
    std::memset(to, 0, static_cast<size_t>(padded_head) * sizeof(uint32_t));
    if (slot >= length) continue;
    if (kv.v.dtype == DType::kF32) {
      std::memcpy(to, kv.v.ptr<float>(head, slot), static_cast<size_t>(head_size) * sizeof(float));
    } else if (!pairs) {
      kernels.to_f32(kv.v.ptr<uint16_t>(head, slot), head_size, reinterpret_cast<float*>(to));
    } else {
      const uint16_t* low = kv.v.ptr<uint16_t>(head, slot);
      const uint16_t* high = slot + 1 < length ? kv.v.ptr<uint16_t>(head, slot + 1) : nullptr;
      for (int64_t i = 0; i < head_size; ++i) {
        to[i] = low[i] | (high == nullptr ? 0u : static_cast<uint32_t>(high[i]) << 16);
      }
    }
  }
}

void CpuPackedKv::pack(const Kernels& kernels, const KvView& kv, int threads, bool values) {
  const int64_t head_size = kv.k.columns();
  pairs = kernels.bf16_dot && kv.k.dtype == DType::kBF16;
  length = kv.length;
  depth = pairs ? head_size / 2 : head_size;
  padded_head = round_up(head_size, kernels.panel);
  panels = round_up(length, kKeyBlock) / kernels.panel;
  k_stride_ = panels * kernels.panel * depth;
  v_stride_ = panels * kernels.panel / (pairs ? 2 : 1) * padded_head;
  const int64_t heads = kv.k.planes();
  k_.resize(std::max(k_.size(), static_cast<size_t>(heads * k_stride_)));
  if (values) v_.resize(std::max(v_.size(), static_cast<size_t>(heads * v_stride_)));
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t panel = 0; panel < panels; ++panel) {
      pack_keys(kernels, kv, head, panel);
      if (values) pack_values(kernels, kv, head, panel);
    }
  }
}

void attention(const Kernels& kernels, const Tensor& q, const KvView& kv, const CpuPackedKv& packed,
               std::span<const int32_t> visible, const Tensor& out, int threads) {
  const int64_t head_size = kv.k.columns();
  const int64_t kv_heads = kv.k.planes();
  const int64_t group = q.columns() / head_size / kv_heads;
  const int64_t tile_rows = std::max<int64_t>(1, kTileRows / group);
  const Job job{kernels, q, packed, visible, out, head_size, group, tile_rows};
  const int64_t tiles = (q.rows() + tile_rows - 1) / tile_rows;
#pragma omp parallel num_threads(threads)
  {
    Tile tile(tile_rows * group, packed.depth, packed.padded_head, packed.pairs);
    // The last tiles see the most keys: they go first, so that no thread ends with a long one.
#pragma omp for schedule(dynamic, 1)
    for (int64_t item = 0; item < tiles * kv_heads; ++item) {
      run_tile(job, tile, item % kv_heads, tiles - 1 - item / kv_heads);
    }
  }
}

namespace {

// Products of one query head with packed keys: s [window, padded].
void packed_products(const Kernels& kernels, const Tensor& q, const CpuPackedKv& packed, int64_t head_size,
                     int64_t head, int64_t plane, int64_t padded, std::vector<float>& s) {
  const int64_t window = q.rows();
  std::vector<uint32_t> units(static_cast<size_t>(window * packed.depth));
  for (int64_t i = 0; i < window; ++i) {
    load_units(kernels, q, i, head * head_size, head_size, packed.pairs, units.data() + i * packed.depth);
  }
  kernels.gemm(static_cast<int>(window), static_cast<int>(padded), static_cast<int>(packed.depth),
               units.data(), packed.depth, packed.k(plane), packed.depth * kernels.panel, kernels.panel,
               s.data(), padded, false);
}

// The same with keys where they lie.
void plain_products(const Kernels& kernels, const Tensor& q, const KvView& kv, int64_t head, int64_t plane,
                    int64_t padded, std::vector<float>& s) {
  const int64_t head_size = kv.k.columns(), column = head * head_size;
  for (int64_t i = 0; i < q.rows(); ++i) {
    float* row = s.data() + i * padded;
    for (int64_t j = 0; j < kv.length; ++j) {
      row[j] = kv.k.dtype == DType::kBF16
                   ? kernels.dot_bf16(q.ptr<uint16_t>(0, i) + column, kv.k.ptr<uint16_t>(plane, j), head_size)
                   : kernels.dot_f32(q.ptr<float>(0, i) + column, kv.k.ptr<float>(plane, j), head_size);
    }
  }
}

// Softmax and the reduction over query rows of one query head: s [window, padded] -> out [rows, tokens].
void reduce_rows(const Kernels& kernels, const ScoreSpec& spec, int64_t head_size, int64_t length,
                 int64_t padded, std::vector<float>& s, float* out) {
  const int64_t window = spec.window, tokens = score_tokens(spec, length);
  const float scale = spec.scale ? 1.0f / std::sqrt(static_cast<float>(head_size)) : 1.0f;
  for (int64_t i = 0; i < window; ++i) {
    float* row = s.data() + i * padded;
    const int64_t seen = length - window + i + 1;
    const float weight = spec.softmax ? 1.0f / kernels.exp_row(row, seen, scale) : scale;
    std::fill(row + seen, row + std::max(seen, tokens), spec.softmax ? 0.0f : kMinusInfinity);
    float* to = spec.rows == Reduce::kKeep ? out + i * tokens : out;
    if (spec.rows == Reduce::kKeep || i == 0) {
      for (int64_t t = 0; t < tokens; ++t) to[t] = row[t] * weight;
    } else if (spec.rows == Reduce::kSum) {
      kernels.add_scaled(row, tokens, weight, to);
    } else {
      for (int64_t t = 0; t < tokens; ++t) to[t] = std::max(to[t], row[t] * weight);
    }
  }
}

}  // namespace

void window_scores(const Kernels& kernels, const Tensor& q, const KvView& kv, const CpuPackedKv* packed,
                   const ScoreSpec& spec, const Tensor& out, int threads) {
  const int64_t head_size = kv.k.columns();
  const int64_t heads = q.columns() / head_size;
  const int64_t group = heads / kv.k.planes();
  const int64_t rows = spec.rows == Reduce::kKeep ? spec.window : 1;
  const int64_t tokens = score_tokens(spec, kv.length);
  const int64_t listed = spec.only.empty() ? heads : static_cast<int64_t>(spec.only.size());
  const int64_t padded = round_up(kv.length, kernels.panel);
  std::vector<float> per_head(static_cast<size_t>(listed * rows * tokens));
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> s;
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < listed; ++i) {
      const int64_t head = spec.only.empty() ? i : spec.only[static_cast<size_t>(i)].head;
      s.resize(static_cast<size_t>(spec.window * padded));
      if (packed != nullptr) {
        packed_products(kernels, q, *packed, head_size, head, head / group, padded, s);
      } else {
        plain_products(kernels, q, kv, head, head / group, padded, s);
      }
      reduce_rows(kernels, spec, head_size, kv.length, padded, s, per_head.data() + i * rows * tokens);
    }
  }
  host::reduce_scores(per_head, heads, kv.k.planes(), rows, tokens, spec, out);
}

}  // namespace claa::cpu
