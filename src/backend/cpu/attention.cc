#include "backend/cpu/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "backend/cpu/tiles.h"
#include "backend/host_ops.h"
#include "core/usize.h"

namespace claa::cpu {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct Tile : TileSums {
  Tile(int64_t m, int64_t depth, int64_t padded_head, int lanes)
      : TileSums(m, padded_head, lanes), q(usize(m * depth)) {}
  std::vector<uint32_t> q;  // [M, depth] units
  // The next two hold one step.
  // [vectors, keys] raw products
  alignas(kLine) std::array<float, kStepVectors * kKeyBlock> s;
  // [vectors, pairs of keys] probabilities in bf16; f32 overwrites s
  alignas(kLine) std::array<uint32_t, kStepVectors * kKeyBlock / 2> p;
};

// Copies query vectors [head_size] of the activation type into kernel units.
void load_units(const Kernels& kernels, const Tensor& q, int64_t row, int64_t column, int64_t head_size,
                bool pairs, uint32_t* out) {
  if (q.dtype == DType::kF32) {
    std::memcpy(out, q.ptr<float>(0, row) + column, usize(head_size) * sizeof(float));
  } else if (pairs) {
    std::memcpy(out, q.ptr<uint16_t>(0, row) + column, usize(head_size) * sizeof(uint16_t));
  } else {
    kernels.to_f32(q.ptr<uint16_t>(0, row) + column, head_size, reinterpret_cast<float*>(out));
  }
}

struct Job : TileJob {
  using Tile = cpu::Tile;
  Job(const Kernels& k, const Tensor& queries, const KvView& kv, const CpuPackedKv& packed_kv,
      const VisibleSlots& seen, const SoftmaxRule& softmax, const Tensor& result, Threads& threads)
      : TileJob(queries, kv, packed_kv.padded_head, seen, softmax, result, threads),
        kernels(k),
        packed(packed_kv),
        scale(1.0f / std::sqrt(static_cast<float>(head_size))) {
    logits_per_max = rule.soft_cap > 0 ? 1 : scale;
  }
  Tile make_tile() const { return {tile_rows * group, packed.depth, padded_head, kernels.panel / 2}; }
  void load(Tile& tile, int64_t i, int64_t row, int64_t column) const {
    load_units(kernels, q, row, column, head_size, packed.pairs, tile.q.data() + i * packed.depth);
  }
  void step(Tile& tile, const StepVectors& at, int64_t first_key, int64_t keys) const;

  const Kernels& kernels;
  const CpuPackedKv& packed;
  const float scale;
};

void Job::step(Tile& tile, const StepVectors& at, int64_t first_key, int64_t keys) const {
  const int panel = kernels.panel;
  const int m = static_cast<int>(at.count);
  const int n = static_cast<int>(round_up(keys, panel));
  const int64_t depth = packed.depth;
  kernels.gemm(m, n, static_cast<int>(depth), tile.q.data() + at.first * depth, depth,
               packed.k(at.head) + first_key / panel * depth * panel, depth * panel, panel, tile.s.data(),
               kKeyBlock, false);
  // Probabilities as units of the second product: in place of s, or bf16 pairs beside it.
  uint32_t* p = packed.pairs ? tile.p.data() : reinterpret_cast<uint32_t*>(tile.s.data());
  const int64_t p_stride = packed.pairs ? kKeyBlock / 2 : kKeyBlock;
  const int units = packed.pairs ? n / 2 : n;
  float* o = tile.o.data() + at.first * padded_head;
  for (int64_t i = 0; i < m; ++i) {
    float* s = tile.s.data() + i * kKeyBlock;
    const int64_t count = tile.visible[usize(at.first + i)] - first_key;
    if (rule.soft_cap > 0) kernels.soft_cap(s, n, scale, rule.soft_cap);
    hide_before(tile.first[usize(at.first + i)], first_key, s);
    if (count < n) std::fill(s + std::max<int64_t>(count, 0), s + n, kUnseen);
    kernels.softmax_step(s, n, logits_per_max, &tile.max[usize(at.first + i)], tile.sum_of(at.first + i),
                         p + i * p_stride, o + i * padded_head, static_cast<int>(padded_head));
  }
  const int64_t first_unit = packed.pairs ? first_key / 2 : first_key;
  kernels.gemm(m, static_cast<int>(padded_head), units, p, p_stride,
               packed.v(at.head) + first_unit * padded_head, panel, padded_head, o, padded_head, true);
}

}  // namespace

float sink_share(const SoftmaxRule& rule, int64_t head, float top) {
  return rule.has_sinks() ? std::exp(rule.sink(head) - top) : 0.0f;
}

void store_row(const Kernels& kernels, const float* o, float sum, int64_t head_size, const Tensor& out,
               int64_t row, int64_t column) {
  kernels.scaled(o, head_size, 1.0f / sum, out.address(0, row, column), out.dtype == DType::kBF16);
}

void CpuPackedKv::pack_keys(const Kernels& kernels, const KvView& kv, int64_t head, int64_t panel,
                            float* wide) {
  const int64_t width = kernels.panel;
  const int64_t head_size = kv.k.columns();
  uint32_t* to = k_.data() + head * k_stride_ + panel * depth * width;
  for (int64_t column = 0; column < width; ++column) {
    const int64_t slot = panel * width + column;
    if (slot >= length) {
      for (int64_t u = 0; u < depth; ++u) to[u * width + column] = 0;
      continue;
    }
    const uint32_t* from = reinterpret_cast<const uint32_t*>(wide);
    if (kv.k.dtype == DType::kF32) {
      from = reinterpret_cast<const uint32_t*>(kv.k.ptr<float>(head, slot));
    } else if (pairs) {
      from = reinterpret_cast<const uint32_t*>(kv.k.ptr<uint16_t>(head, slot));
    } else {
      kernels.to_f32(kv.k.ptr<uint16_t>(head, slot), head_size, wide);
    }
    for (int64_t u = 0; u < depth; ++u) to[u * width + column] = from[u];
  }
}

void CpuPackedKv::pack_values(const Kernels& kernels, const KvView& kv, int64_t head, int64_t panel) {
  const int64_t head_size = kv.v.columns();
  const int64_t step = pairs ? 2 : 1;
  for (int64_t slot = panel * kernels.panel; slot < (panel + 1) * kernels.panel; slot += step) {
    uint32_t* to = v_.data() + head * v_stride_ + slot / step * padded_head;
    std::memset(to, 0, usize(padded_head) * sizeof(uint32_t));
    if (slot >= length) continue;
    if (kv.v.dtype == DType::kF32) {
      std::memcpy(to, kv.v.ptr<float>(head, slot), usize(head_size) * sizeof(float));
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

void CpuPackedKv::pack(const Kernels& kernels, const KvView& kv, Threads& threads, bool values) {
  const int64_t head_size = kv.k.columns();
  pairs = kernels.bf16_dot && kv.k.dtype == DType::kBF16;
  length = kv.length;
  depth = pairs ? head_size / 2 : head_size;
  padded_head = round_up(head_size, kernels.panel);
  panels = round_up(length, kKeyBlock) / kernels.panel;
  k_stride_ = panels * kernels.panel * depth;
  v_stride_ = panels * kernels.panel / (pairs ? 2 : 1) * padded_head;
  const int64_t heads = kv.k.planes();
  k_.resize(std::max(k_.size(), usize(heads * k_stride_)));
  if (values) v_.resize(std::max(v_.size(), usize(heads * v_stride_)));
  std::vector<float> wide(usize(threads.count() * head_size));
  threads.split(heads * panels, [&](int64_t first, int64_t end, int thread) {
    for (int64_t item = first; item < end; ++item) {
      pack_keys(kernels, kv, item / panels, item % panels, wide.data() + thread * head_size);
      if (values) pack_values(kernels, kv, item / panels, item % panels);
    }
  });
}

void attention(const Kernels& kernels, const Tensor& q, const KvView& kv, const CpuPackedKv& packed,
               const VisibleSlots& visible, const SoftmaxRule& rule, const Tensor& out, Threads& threads) {
  run_tiles(kernels, Job(kernels, q, kv, packed, visible, rule, out, threads));
}

namespace {

// Query rows whose sums a thread holds at once, so that its memory does not grow with the window.
constexpr int64_t kScoreRows = 24;

// One call of window_scores(), and the scratch of one thread.
struct Window {
  const Kernels& kernels;
  const Tensor& q;
  const KvView& kv;
  const CpuPackedKv* packed;
  const ScoreSpec& spec;
  const SoftmaxRule& rule;
  int64_t head_size, group, padded, tokens;
};
struct WindowScratch {
  std::vector<float> s;         // [kScoreRows, padded]
  std::vector<uint32_t> units;  // [kScoreRows, depth] of the queries
};

// Products of the query rows [first, first + rows) of one query head with packed keys: s [rows, padded].
void packed_products(const Window& w, int64_t head, int64_t first, int64_t rows, WindowScratch& scratch) {
  const CpuPackedKv& packed = *w.packed;
  uint32_t* units = scratch.units.data();
  for (int64_t i = 0; i < rows; ++i) {
    load_units(w.kernels, w.q, first + i, head * w.head_size, w.head_size, packed.pairs,
               units + i * packed.depth);
  }
  w.kernels.gemm(static_cast<int>(rows), static_cast<int>(w.padded), static_cast<int>(packed.depth), units,
                 packed.depth, packed.k(head / w.group), packed.depth * w.kernels.panel, w.kernels.panel,
                 scratch.s.data(), w.padded, false);
}

// The same with keys where they lie.
void plain_products(const Window& w, int64_t head, int64_t first, int64_t rows, WindowScratch& scratch) {
  const int64_t column = head * w.head_size, plane = head / w.group;
  for (int64_t i = 0; i < rows; ++i) {
    float* row = scratch.s.data() + i * w.padded;
    for (int64_t j = 0; j < w.kv.length; ++j) {
      row[j] = w.kv.k.dtype == DType::kBF16 ? w.kernels.dot_bf16(w.q.ptr<uint16_t>(0, first + i) + column,
                                                                 w.kv.k.ptr<uint16_t>(plane, j), w.head_size)
                                            : w.kernels.dot_f32(w.q.ptr<float>(0, first + i) + column,
                                                                w.kv.k.ptr<float>(plane, j), w.head_size);
    }
  }
}

// Turns the products of one query row with the keys that it sees into weights of one head, which have to be
// divided by the result.
float weigh_row(const Window& w, int64_t head, float* row, int64_t seen) {
  float scale = 1.0f / std::sqrt(static_cast<float>(w.head_size));
  if (!w.spec.scale) scale = 1;
  if (w.rule.soft_cap > 0) w.kernels.soft_cap(row, seen, std::exchange(scale, 1.0f), w.rule.soft_cap);
  const float top = w.rule.has_sinks() ? scale * *std::max_element(row, row + seen) : 0;
  return w.kernels.exp_row(row, seen, scale) + sink_share(w.rule, head, top);
}

// Softmax of the rows of one query head and their reduction: s [rows, padded] -> out [spec's rows, tokens].
void reduce_rows(const Window& w, int64_t head, int64_t first, int64_t rows, WindowScratch& scratch,
                 float* out) {
  const ScoreSpec& spec = w.spec;
  const float scale = spec.scale ? 1.0f / std::sqrt(static_cast<float>(w.head_size)) : 1.0f;
  for (int64_t i = first; i < first + rows; ++i) {
    float* row = scratch.s.data() + (i - first) * w.padded;
    const int64_t seen = w.kv.length - spec.window + i + 1;
    const float weight = spec.softmax ? 1.0f / weigh_row(w, head, row, seen) : scale;
    std::fill(row + seen, row + std::max(seen, w.tokens), spec.softmax ? 0.0f : kMinusInfinity);
    float* to = spec.rows == Reduce::kKeep ? out + i * w.tokens : out;
    if (spec.rows == Reduce::kKeep || i == 0) {
      for (int64_t t = 0; t < w.tokens; ++t) to[t] = row[t] * weight;
    } else if (spec.rows == Reduce::kSum) {
      w.kernels.add_scaled(row, w.tokens, weight, to);
    } else {
      for (int64_t t = 0; t < w.tokens; ++t) to[t] = std::max(to[t], row[t] * weight);
    }
  }
}

}  // namespace

void window_scores(const Kernels& kernels, const Tensor& q, const KvView& kv, const CpuPackedKv* packed,
                   const ScoreSpec& spec, const SoftmaxRule& rule, const Tensor& out, Threads& threads) {
  const int64_t head_size = kv.k.columns(), heads = q.columns() / head_size;
  const Window window{kernels,
                      q,
                      kv,
                      packed,
                      spec,
                      rule,
                      head_size,
                      heads / kv.k.planes(),
                      round_up(kv.length, kernels.panel),
                      score_tokens(spec, kv.length)};
  const int64_t rows = spec.rows == Reduce::kKeep ? spec.window : 1;
  const int64_t listed = spec.only.empty() ? heads : static_cast<int64_t>(spec.only.size());
  const int64_t at_once = std::min(spec.window, kScoreRows);
  std::vector<float> per_head(usize(listed * rows * window.tokens));
  const WindowScratch one{std::vector<float>(usize(at_once * window.padded)),
                          std::vector<uint32_t>(packed == nullptr ? 0 : usize(at_once * packed->depth))};
  std::vector<WindowScratch> scratch(usize(threads.count()), one);
  threads.run(listed, [&](int64_t i, int thread) {
    const int64_t head = spec.only.empty() ? i : spec.only[usize(i)].head;
    WindowScratch& own = scratch[usize(thread)];
    for (int64_t first = 0; first < spec.window; first += at_once) {
      const int64_t count = std::min(at_once, spec.window - first);
      packed != nullptr ? packed_products(window, head, first, count, own)
                        : plain_products(window, head, first, count, own);
      reduce_rows(window, head, first, count, own, per_head.data() + i * rows * window.tokens);
    }
  });
  host::reduce_scores(per_head, heads, kv.k.planes(), rows, window.tokens, spec, out);
}

}  // namespace claa::cpu
