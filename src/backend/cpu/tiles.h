// The common part of attention on floats and on integers: tiles of query rows, which pass over the keys they
// see.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "backend/cpu/aligned.h"
#include "backend/cpu/attention.h"
#include "core/threads.h"
#include "core/usize.h"

namespace claa::cpu {

constexpr int kKeyBlock = 128;  // keys of one online-softmax step: K and V blocks of a head stay in L1 and L2
constexpr int kStepVectors = 24;  // query vectors of one step: their logits stay in L1 beside the block

inline int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The online softmax of a tile of M = rows x group query vectors, in scratch of one thread.
struct TileSums {
  TileSums(int64_t m, int64_t padded_head, int vector_lanes)
      : lanes(vector_lanes),
        o(usize(m * padded_head)),
        max(usize(m)),
        sum(usize(m * lanes)),
        first(usize(m)),
        visible(usize(m)) {}
  void reset() {
    std::fill(o.begin(), o.end(), 0.0f);
    std::fill(max.begin(), max.end(), -std::numeric_limits<float>::infinity());
    std::fill(sum.begin(), sum.end(), 0.0f);
  }
  float* sum_of(int64_t i) { return sum.data() + i * lanes; }
  int lanes;
  AlignedVector<float> o;        // [M, padded head] sums so far
  std::vector<float> max;        // [M]
  AlignedVector<float> sum;      // [M, lanes]: added up at the end
  std::vector<int32_t> first;    // [M] keys before the first one that the vector sees
  std::vector<int32_t> visible;  // [M] keys up to the last one that it sees
};

// The query vectors [first, first + count) of a tile, which belong to one KV head.
struct StepVectors {
  int64_t head, first, count;
};

// Everything that the tiles of one call share. A kind of attention adds
//   using Tile = ...;                                         derived from TileSums
//   Tile make_tile() const;
//   void load(Tile&, int64_t i, int64_t row, int64_t column) const;   query vector i of the tile
//   void step(Tile&, const StepVectors&, int64_t first_key, int64_t keys) const;   `keys` of a block
struct TileJob {
  TileJob(const Tensor& queries, const KvView& kv, int64_t padded, const VisibleSlots& seen,
          const SoftmaxRule& softmax, const Tensor& result, Threads& shared)
      : q(queries),
        visible(seen),
        rule(softmax),
        out(result),
        head_size(kv.k.columns()),
        kv_heads(kv.k.planes()),
        group(q.columns() / head_size / kv_heads),
        tile_rows(rows_of_tile(q.rows(), group, kv_heads, shared.count())),
        padded_head(padded),
        threads(shared) {}
  // Large tiles read keys and values less often; small ones share out better. No row depends on its tile.
  static int64_t rows_of_tile(int64_t rows, int64_t group, int64_t kv_heads, int threads) {
    constexpr int64_t kLarge = 192, kSmall = 96, kTilesOfThread = 8;
    const bool many = rows * group * kv_heads >= kLarge * kTilesOfThread * threads;
    return std::max<int64_t>(1, (many ? kLarge : kSmall) / group);
  }
  const Tensor& q;
  const VisibleSlots& visible;
  const SoftmaxRule& rule;
  const Tensor& out;
  float logits_per_max = 1;  // what makes a logit of TileSums::max
  int64_t head_size, kv_heads;
  int64_t group;  // query heads of a KV head
  int64_t tile_rows, padded_head;
  Threads& threads;
};

// Makes the keys of a block that a query vector no longer sees count nothing: `block` has its products with
// the keys from `first_key` on. It sees others of the block.
inline void hide_before(int32_t first, int64_t first_key, float* block) {
  if (first > first_key) std::fill_n(block, first - first_key, kUnseen);
}

template <class Job>
void run_tile(const Kernels& kernels, const Job& job, typename Job::Tile& tile, int64_t head, int64_t index) {
  const int64_t first_row = index * job.tile_rows;
  const int64_t rows = std::min(job.tile_rows, job.q.rows() - first_row), vectors = rows * job.group;
  const auto column = [&](int64_t i) { return (head * job.group + i % job.group) * job.head_size; };
  tile.reset();
  for (int64_t i = 0; i < vectors; ++i) {
    const int64_t row = first_row + i / job.group;
    tile.first[usize(i)] = job.visible.first_of(row);
    tile.visible[usize(i)] = job.visible.end_of(row);
    job.load(tile, i, row, column(i));
  }
  for (int64_t key = tile.first[0] / kKeyBlock * kKeyBlock; key < tile.visible[usize(vectors - 1)];
       key += kKeyBlock) {
    for (int64_t i = 0; i < vectors; i += kStepVectors) {
      int64_t count = std::min<int64_t>(kStepVectors, vectors - i);
      // Vectors whose window begins behind the block are the last ones.
      while (count > 0 && tile.first[usize(i + count - 1)] >= key + kKeyBlock) --count;
      if (count == 0) break;
      // Causal skipping: nothing beyond what the last vector sees.
      const int64_t keys = std::min<int64_t>(kKeyBlock, tile.visible[usize(i + count - 1)] - key);
      if (keys > 0) job.step(tile, {head, i, count}, key, keys);
    }
  }
  for (int64_t i = 0; i < vectors; ++i) {
    const float* sums = tile.sum_of(i);
    const float top = tile.max[usize(i)] * job.logits_per_max;
    const float sum = std::accumulate(sums, sums + tile.lanes, 0.0f);
    store_row(kernels, tile.o.data() + i * job.padded_head,
              sum + sink_share(job.rule, head * job.group + i % job.group, top), job.head_size, job.out,
              first_row + i / job.group, column(i));
  }
}

template <class Job>
void run_tiles(const Kernels& kernels, const Job& job) {
  const int64_t tiles = (job.q.rows() + job.tile_rows - 1) / job.tile_rows;
  std::vector<typename Job::Tile> scratch;
  scratch.reserve(usize(job.threads.count()));
  for (int thread = 0; thread < job.threads.count(); ++thread) scratch.push_back(job.make_tile());
  // The last tiles see the most keys: they go first, so that no thread ends with a long one.
  job.threads.run(tiles * job.kv_heads, [&](int64_t item, int thread) {
    run_tile(kernels, job, scratch[usize(thread)], item / tiles, tiles - 1 - item % tiles);
  });
}

}  // namespace claa::cpu
