#include "backend/host_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/usize.h"

namespace claa {

int64_t score_rows(const ScoreSpec& spec, int64_t heads, int64_t kv_heads) {
  const int64_t rows = spec.rows == Reduce::kKeep ? spec.window : 1;
  if (spec.heads != Reduce::kKeep) return rows;
  if (!spec.only.empty()) return rows * static_cast<int64_t>(spec.only.size());
  return rows * (spec.group == Reduce::kKeep ? heads : kv_heads);
}

int64_t score_tokens(const ScoreSpec& spec, int64_t length) {
  return spec.drop_window ? length - spec.window : length;
}

void check_score_spec(const ScoreSpec& spec, int64_t heads, int64_t kv_heads, int64_t length) {
  require(heads > 0 && kv_heads > 0 && heads % kv_heads == 0, "query heads must be a multiple of KV heads");
  if (spec.window < 1 || spec.window > length || score_tokens(spec, length) < 1) {
    fail(ErrorCode::kInvalidArgument,
         "a window of {} queries cannot score {} live tokens; choose a smaller window", spec.window, length);
  }
  if (spec.kernel < 1)
    fail(ErrorCode::kInvalidArgument, "pooling kernel must be positive, not {}", spec.kernel);
  for (const HeadWeight& entry : spec.only) {
    if (entry.head < 0 || entry.head >= heads) {
      fail(ErrorCode::kInvalidArgument, "query head {} is outside 0..{}", entry.head, heads - 1);
    }
  }
  if (!spec.only.empty() && spec.group != Reduce::kKeep) {
    fail(ErrorCode::kInvalidArgument, "chosen heads are not grouped: set group to keep");
  }
}

namespace host {
namespace {

void fold(Reduce reduce, const float* in, int64_t tokens, float* out) {
  for (int64_t t = 0; t < tokens; ++t)
    out[t] = reduce == Reduce::kMax ? std::max(out[t], in[t]) : out[t] + in[t];
}

// Pools, normalises and weighs one row in place.
void finish_row(float* row, int64_t tokens, const ScoreSpec& spec, float weight,
                std::vector<float>& scratch) {
  if (spec.pool != PoolKind::kNone && spec.kernel > 1) {
    pool(row, tokens, spec.pool, spec.kernel, scratch.data());
    std::copy(scratch.begin(), scratch.end(), row);
  }
  if (spec.normalize_heads) {
    const double sum = std::accumulate(row, row + tokens, 0.0);
    weight = sum > 0 ? static_cast<float>(weight / sum) : 0.0f;
  }
  if (weight != 1.0f) {
    for (int64_t t = 0; t < tokens; ++t) row[t] *= weight;
  }
}

// Scores by query head and query row: [heads, rows, tokens].
struct HeadRows {
  std::span<float> values;
  int64_t heads, rows, tokens;
  float* at(int64_t head, int64_t row) const { return &values[(head * rows + row) * tokens]; }
};

void finish_rows(const HeadRows& scores, const ScoreSpec& spec) {
  std::vector<float> scratch(usize(scores.tokens));
  for (int64_t h = 0; h < scores.heads; ++h) {
    const float weight = spec.only.empty() ? 1.0f : spec.only[usize(h)].weight;
    for (int64_t r = 0; r < scores.rows; ++r)
      finish_row(scores.at(h, r), scores.tokens, spec, weight, scratch);
  }
}

// Leaves the fold of every group of heads in the rows of its first head.
void fold_groups(const HeadRows& scores, int64_t group, Reduce reduce) {
  for (int64_t h = 0; h < scores.heads; ++h) {
    for (int64_t r = 0; h % group != 0 && r < scores.rows; ++r)
      fold(reduce, scores.at(h, r), scores.tokens, scores.at(h - h % group, r));
  }
}

// Every `step`-th head, folded or kept, to `out`: [rows, kept heads].
void fold_heads(const HeadRows& scores, int64_t step, Reduce reduce, const Tensor& out) {
  const int64_t kept = out.rows() / scores.rows;
  for (int64_t r = 0; r < scores.rows; ++r) {
    for (int64_t h = 0; h < scores.heads; h += step) {
      float* to = out.ptr<float>(0, r * kept + (reduce == Reduce::kKeep ? h / step : 0));
      if (reduce == Reduce::kKeep || h == 0) {
        std::copy_n(scores.at(h, r), scores.tokens, to);
      } else {
        fold(reduce, scores.at(h, r), scores.tokens, to);
      }
    }
  }
}

// Sum over the heads of one layer; [tokens].
std::vector<float> head_sum(const Tensor& layer) {
  std::vector<float> sum(usize(layer.columns()), 0.0f);
  for (int64_t h = 0; h < layer.rows(); ++h)
    fold(Reduce::kSum, layer.ptr<float>(0, h), layer.columns(), sum.data());
  return sum;
}

// (x - mean) / (std + 1e-6) with the unbiased std; eps 1e-6 because 1e-8 makes constant rows explode in low
// precision.
void zscore(const float* in, int64_t tokens, float* out) {
  if (tokens < 2) {
    std::copy(in, in + tokens, out);
    return;
  }
  const double mean = std::accumulate(in, in + tokens, 0.0) / static_cast<double>(tokens);
  double squares = 0;
  for (int64_t t = 0; t < tokens; ++t) squares += (in[t] - mean) * (in[t] - mean);
  const double deviation = std::sqrt(squares / static_cast<double>(tokens - 1));
  for (int64_t t = 0; t < tokens; ++t) out[t] = static_cast<float>((in[t] - mean) / (deviation + 1e-6));
}

// True when index a comes before index b: higher score first, then the lower index; NaN last.
struct ScoreOrder {
  const float* scores;
  bool operator()(int32_t a, int32_t b) const {
    const float x = key(a), y = key(b);
    return x > y || (x == y && a < b);
  }
  float key(int32_t i) const {
    return std::isnan(scores[i]) ? -std::numeric_limits<float>::infinity() : scores[i];
  }
};

// out -= weight * rank, rank 0 for the best.
void subtract_ranks(const std::vector<float>& scores, double weight, float* out) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), ScoreOrder{scores.data()});
  for (size_t rank = 0; rank < order.size(); ++rank) {
    out[order[rank]] -= static_cast<float>(weight * static_cast<double>(rank));
  }
}

}  // namespace

void pool(const float* in, int64_t tokens, PoolKind kind, int64_t kernel, float* out) {
  const int64_t left = kernel / 2;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t first = std::max<int64_t>(0, t - left);
    const int64_t last = std::min(tokens, t - left + kernel);
    if (kind == PoolKind::kMax) {
      out[t] = *std::max_element(in + first, in + last);
    } else {
      out[t] = std::accumulate(in + first, in + last, 0.0f) / static_cast<float>(kernel);
    }
  }
}

void reduce_scores(std::span<float> in, int64_t heads, int64_t kv_heads, int64_t rows, int64_t tokens,
                   const ScoreSpec& spec, const Tensor& out) {
  const int64_t listed = spec.only.empty() ? heads : static_cast<int64_t>(spec.only.size());
  const HeadRows scores{in, listed, rows, tokens};
  finish_rows(scores, spec);
  int64_t group = 1;
  if (spec.group != Reduce::kKeep) {
    group = heads / kv_heads;
    fold_groups(scores, group, spec.group);
  }
  fold_heads(scores, group, spec.heads, out);
}

void aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base, const Tensor& out) {
  require(!layers.empty(), "aggregate: no layers");
  const int64_t tokens = out.columns();
  float* result = out.ptr<float>();
  const bool maximum = aggregator == Aggregator::kRawMax || aggregator == Aggregator::kZscoreMax;
  std::fill(result, result + tokens, maximum ? -std::numeric_limits<float>::infinity() : 0.0f);
  if (aggregator == Aggregator::kSumSingle) layers = layers.last(1);
  std::vector<float> row(usize(tokens));
  double weight = 1;
  for (const Tensor& layer : layers) {
    require(layer.columns() == tokens, "aggregate: layers of different lengths");
    if (aggregator == Aggregator::kRankSum) {
      subtract_ranks(head_sum(layer), weight, result);
      weight *= base;
      continue;
    }
    for (int64_t h = 0; h < layer.rows(); ++h) {
      const float* scores = layer.ptr<float>(0, h);
      if (aggregator == Aggregator::kZscoreMax) {
        zscore(scores, tokens, row.data());
        scores = row.data();
      }
      fold(maximum ? Reduce::kMax : Reduce::kSum, scores, tokens, result);
    }
  }
}

void top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) {
  const int64_t tokens = scores.columns();
  require(count >= 0 && count <= tokens, "top_k: count outside the scores");
  std::vector<int32_t> order(usize(tokens));
  for (int64_t r = 0; r < scores.rows(); ++r) {
    std::iota(order.begin(), order.end(), 0);
    if (count < tokens) {
      std::nth_element(order.begin(), order.begin() + count, order.end(),
                       ScoreOrder{scores.ptr<float>(0, r)});
    }
    std::sort(order.begin(), order.begin() + count);
    int32_t* to = out.ptr<int32_t>(0, r);
    std::copy(order.begin(), order.begin() + count, to);
    std::iota(to + count, to + count + forced_tail, static_cast<int32_t>(tokens));
  }
}

}  // namespace host
}  // namespace claa
