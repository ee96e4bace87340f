#include "backend/cpu/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "backend/cpu/tiles.h"
#include "backend/host_ops.h"

namespace claa::cpu {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct Tile : TileSums {
  Tile(int64_t m, int64_t depth, int64_t padded_head, int lanes)
      : TileSums(m, padded_head, lanes), q(static_cast<size_t>(m * depth)) {}
  std::vector<uint32_t> q;  // [M, depth] units
  // Of one step:
  // [vectors, keys] raw products
  alignas(kLine) std::array<float, kStepVectors * kKeyBlock> s;
  // [vectors, pairs of keys] probabilities in bf16; f32 overwrites s
  alignas(kLine) std::array<uint32_t, kStepVectors * kKeyBlock / 2> p;
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

struct Job : TileJob {
  using Tile = cpu::Tile;
  Job(const Kernels& k, const Tensor& queries, const KvView& kv, const CpuPackedKv& packed_kv,
      std::span<const int32_t> seen, const Tensor& result, int threads)
      : TileJob(queries, kv, packed_kv.padded_head, seen, result, threads), kernels(k), packed(packed_kv) {}
  Tile make_tile() const { return {tile_rows * group, packed.depth, padded_head, kernels.panel / 2}; }
  void load(Tile& tile, int64_t i, int64_t row, int64_t column) const {
    load_units(kernels, q, row, column, head_size, packed.pairs, tile.q.data() + i * packed.depth);
  }
  void step(Tile& tile, const StepVectors& at, int64_t first_key, int64_t keys) const;

  const Kernels& kernels;
  const CpuPackedKv& packed;
};

void Job::step(Tile& tile, const StepVectors& at, int64_t first_key, int64_t keys) const {
  const int panel = kernels.panel;
  const int m = static_cast<int>(at.count);
  const int n = static_cast<int>(round_up(keys, panel));
  const int64_t depth = packed.depth;
  kernels.gemm(m, n, static_cast<int>(depth), tile.q.data() + at.first * depth, depth,
               packed.k(at.head) + first_key / panel * depth * panel, depth * panel, panel, tile.s.data(),
               kKeyBlock, false);
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_size));
  // Probabilities as units of the second product: in place of s, or bf16 pairs beside it.
  uint32_t* p = packed.pairs ? tile.p.data() : reinterpret_cast<uint32_t*>(tile.s.data());
  const int64_t p_stride = packed.pairs ? kKeyBlock / 2 : kKeyBlock;
  const int units = packed.pairs ? n / 2 : n;
  float* o = tile.o.data() + at.first * padded_head;
  for (int64_t i = 0; i < m; ++i) {
    float* s = tile.s.data() + i * kKeyBlock;
    const int64_t count = tile.visible[static_cast<size_t>(at.first + i)] - first_key;
    if (count < n) std::fill(s + std::max<int64_t>(count, 0), s + n, kUnseen);
    kernels.softmax_step(s, n, scale, &tile.max[static_cast<size_t>(at.first + i)], tile.sum_of(at.first + i),
                         p + i * p_stride, o + i * padded_head, static_cast<int>(padded_head));
  }
  const int64_t first_unit = packed.pairs ? first_key / 2 : first_key;
  kernels.gemm(m, static_cast<int>(padded_head), units, p, p_stride,
               packed.v(at.head) + first_unit * padded_head, panel, padded_head, o, padded_head, true);
}

}  // namespace

void store_row(const Kernels& kernels, const float* o, float sum, int64_t head_size, const Tensor& out,
               int64_t row, int64_t column) {
  kernels.scaled(o, head_size, 1.0f / sum, out.address(0, row, column), out.dtype == DType::kBF16);
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
  run_tiles(kernels, Job(kernels, q, kv, packed, visible, out, threads));
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
