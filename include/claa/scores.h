// Scores and sets of tokens on the device of the model, and what can be asked of its attention. Device
// backends include this header; it knows nothing of methods (claa/prefill.h).
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "claa/export.h"

namespace claa {

// Scores: f32 [rows, tokens], one row per score head. Cheap to copy (shared).
class CLAA_API Scores {
 public:
  struct Impl;
  Scores() = default;
  explicit Scores(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  bool empty() const { return impl_ == nullptr; }
  int64_t rows() const;
  int64_t tokens() const;
  std::vector<float> to_host() const;  // row-major [rows, tokens]
  const Impl* impl() const { return impl_.get(); }

 private:
  std::shared_ptr<const Impl> impl_;
};

// A set of tokens: "all", or ascending indices into the live tokens of a layer, whose count the host knows.
// rows() is 1 for a set shared by all KV heads, else the number of KV heads (with equal counts).
class CLAA_API KeepSet {
 public:
  struct Impl;
  KeepSet() = default;  // all
  explicit KeepSet(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  bool all() const { return impl_ == nullptr; }
  int64_t rows() const;
  int64_t count() const;
  std::vector<int32_t> to_host() const;  // row-major [rows, count]
  const Impl* impl() const { return impl_.get(); }

 private:
  std::shared_ptr<const Impl> impl_;
};

enum class Reduce { kKeep, kSum, kMax };
enum class PoolKind { kNone, kAverage, kMax };

// One query head and its weight in a weighted sum of heads.
struct HeadWeight {
  int head = 0;
  float weight = 1;
};

// Attention of some query rows to all live keys, reduced in this order: softmax per row, removal of the
// window's own columns, rows, pooling, (weights), query heads of a KV group, heads.
struct ScoreSpec {
  int64_t window = 8;       // observers: the last `window` live queries
  bool softmax = true;      // false: raw q.k
  bool scale = true;        // divide q.k by sqrt(head size)
  bool drop_window = true;  // the window's own columns take part in the softmax, then are removed
  Reduce rows = Reduce::kSum;
  PoolKind pool = PoolKind::kAverage;
  int64_t kernel = 7;            // pooling width; zero padding counts (edges are attenuated)
  Reduce group = Reduce::kSum;   // over the query heads that share a KV head
  Reduce heads = Reduce::kKeep;  // over what remains
  std::vector<HeadWeight> only;  // when not empty: only these query heads, weighted; group must be kKeep
  bool normalize_heads = false;  // divide each head's scores by their sum over the prompt (before weights)
};

// Cross-layer aggregation of score rows [kv_heads, tokens] of several layers, oldest first
// (spec.md 2.4, 2.6).
enum class Aggregator { kRawMax, kZscoreMax, kRankSum, kSum, kSumSingle };

// The ratio between the weights of neighbouring layers in Aggregator::kRankSum.
constexpr double kRankSumBase = 1.3;

}  // namespace claa
