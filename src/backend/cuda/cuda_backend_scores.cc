// The operations of the CUDA backend that score tokens: attention scores of a window, and what is made of the
// scores of several layers.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/cuda/convert.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/scores.h"
#include "core/usize.h"

namespace claa::cuda {
namespace {

constexpr int64_t kLogitBytes = int64_t{256} << 20;  // logits of as many heads as fit are in memory at once

}  // namespace

void CudaBackend::head_scores(const Tensor& q, const KvView& kv, const ScoreSpec& spec,
                              const SoftmaxRule& rule, const int32_t* heads, int64_t count, float* out) {
  const int64_t tokens = score_tokens(spec, kv.length), rows = spec.rows == Reduce::kKeep ? spec.window : 1;
  const int64_t all_heads = q.columns() / kv.k.columns();
  const bool pooled = spec.pool != PoolKind::kNone && spec.kernel > 1;
  const Buffer logits = floats(count * spec.window * kv.length);
  const Buffer folded = pooled ? floats(count * rows * tokens) : Buffer();
  float* unpooled = pooled ? static_cast<float*>(folded.data()) : out;
  const float scale = spec.scale ? 1.0f / std::sqrt(static_cast<float>(kv.k.columns())) : 1.0f;
  const WindowQuery query{view_of(q),
                          view_of(kv.k),
                          heads,
                          count,
                          all_heads / kv.k.planes(),
                          kv.length,
                          scale,
                          spec.softmax ? rule.soft_cap : 0,
                          static_cast<const float*>(rule.sinks.data)};
  window_logits(query, static_cast<float*>(logits.data()), stream_.get());
  fold_window(query, static_cast<const float*>(logits.data()), spec.softmax, fold_of(spec.rows), tokens,
              unpooled, stream_.get());
  if (pooled)
    pool_rows(unpooled, count * rows, tokens, spec.pool == PoolKind::kAverage, spec.kernel, out,
              stream_.get());
}

void CudaBackend::window_scores(const Tensor& q, const KvView& kv, const PackedKv* /*packed*/,
                                const ScoreSpec& spec, const SoftmaxRule& rule, const Tensor& out) {
  only_once();
  const int64_t heads = q.columns() / kv.k.columns();
  check_score_spec(spec, heads, kv.k.planes(), kv.length);
  std::vector<int32_t> listed;
  std::vector<float> weights;
  for (const HeadWeight& entry : spec.only) listed.push_back(entry.head), weights.push_back(entry.weight);
  if (spec.only.empty()) {
    listed.resize(usize(heads));
    std::iota(listed.begin(), listed.end(), 0);
    weights.assign(listed.size(), 1.0f);
  }
  const int64_t count = static_cast<int64_t>(listed.size()), tokens = score_tokens(spec, kv.length);
  const int64_t rows = spec.rows == Reduce::kKeep ? spec.window : 1;
  const int32_t* head_list = on_device(listed);
  const Buffer factors = floats(count * rows), scores = floats(count * rows * tokens);
  auto* per_head = static_cast<float*>(scores.data());
  const int64_t logit_bytes = spec.window * kv.length * static_cast<int64_t>(sizeof(float));
  const int64_t step = std::clamp<int64_t>(kLogitBytes / logit_bytes, 1, count);
  for (int64_t first = 0; first < count; first += step) {
    head_scores(q, kv, spec, rule, head_list + first, std::min(step, count - first),
                per_head + first * rows * tokens);
  }
  const auto* w = static_cast<const float*>(ring_.upload(weights.data(), weights.size() * sizeof(float)));
  auto* f = static_cast<float*>(factors.data());
  if (spec.normalize_heads) {
    normalising_factors(per_head, count * rows, rows, tokens, w, f, stream_.get());
  } else {
    plain_factors(count * rows, rows, w, f, stream_.get());
  }
  const int64_t group = spec.only.empty() ? heads / kv.k.planes() : 1;
  fold_heads(per_head, f,
             {count, rows, tokens, group, fold_of(spec.group), fold_of(spec.heads), out.stride[1]},
             out.ptr<float>(), stream_.get());
  check_launch("window_scores");
}

void CudaBackend::aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                            const Tensor& out) {
  only_once();
  require(!layers.empty(), "aggregate: no layers");
  const int64_t tokens = out.columns();
  const bool maximum = aggregator == Aggregator::kRawMax || aggregator == Aggregator::kZscoreMax;
  fill(out.ptr<float>(), tokens, maximum ? -INFINITY : 0.0f, stream_.get());
  if (aggregator == Aggregator::kSumSingle) layers = layers.last(1);
  double weight = 1;
  for (const Tensor& layer : layers) {
    require(layer.columns() == tokens, "aggregate: layers of different lengths");
    if (aggregator == Aggregator::kRankSum) {
      const Buffer sum = floats(tokens);
      auto* total = static_cast<float*>(sum.data());
      fill(total, tokens, 0, stream_.get());
      fold_layer(view_of(layer), nullptr, false, total, stream_.get());
      subtract_ranks(total, tokens, weight, out.ptr<float>(), stream_.get());
      weight *= base;
      continue;
    }
    Buffer moments;
    if (aggregator == Aggregator::kZscoreMax) {
      moments = allocate(usize(2 * layer.rows()) * sizeof(double));
      row_moments(view_of(layer), static_cast<double*>(moments.data()), stream_.get());
    }
    fold_layer(view_of(layer), static_cast<const double*>(moments.data()), maximum, out.ptr<float>(),
               stream_.get());
  }
  check_launch("aggregate");
}

}  // namespace claa::cuda
