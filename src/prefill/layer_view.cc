#include "prefill/layer_view.h"

#include <algorithm>

#include "kv/keep_set.h"

namespace claa {

Tensor RunnerLayerView::window_queries(int64_t window) {
  if (known_.data != nullptr && known_.rows() >= window)
    return known_.slice_rows(known_.rows() - window, window);
  if (queries_.data != nullptr && queries_.rows() == window) return queries_;
  require(hidden_.data != nullptr, "scores: only the queries of the drafted tokens are known");
  const ModelConfig& config = model_.config();
  Backend& backend = model_.backend();
  const int64_t columns = config.heads * config.head_size;
  queries_memory_ = backend.allocate(static_cast<size_t>(window * columns) * dtype_bytes(backend.dtype()));
  queries_ = Tensor::matrix(queries_memory_.data(), backend.dtype(), window, columns);
  const int64_t first = live() - window;
  if (live() <= work_.rows()) {  // project_kv() took all of them at once, and their norms are still there
    model_.project_q_normed(layer_, first, positions_.subspan(static_cast<size_t>(first)), rope_, queries_,
                            work_);
    return queries_;
  }
  for (int64_t row = 0; row < window; row += work_.rows()) {
    const int64_t rows = std::min(work_.rows(), window - row);
    model_.project_q(layer_, hidden_.slice_rows(first + row, rows),
                     positions_.subspan(static_cast<size_t>(first + row), static_cast<size_t>(rows)), rope_,
                     queries_.slice_rows(row, rows), work_);
  }
  return queries_;
}

Scores RunnerLayerView::scores(const ScoreSpec& spec) {
  const ModelConfig& config = model_.config();
  check_score_spec(spec, config.heads, config.kv_heads, live());
  auto result = make_scores(model_.backend(), score_rows(spec, config.heads, config.kv_heads),
                            score_tokens(spec, live()));
  model_.backend().window_scores(window_queries(spec.window), kv_, packed_, spec, result->tensor);
  return Scores(std::move(result));
}

Scores RunnerLayerView::aggregate(std::span<const Scores> layers, Aggregator aggregator, double base) {
  require(!layers.empty(), "aggregate: no layers");
  std::vector<Tensor> tensors;
  for (const Scores& scores : layers) tensors.push_back(scores.impl()->tensor);
  auto result = make_scores(model_.backend(), 1, layers.front().tokens());
  model_.backend().aggregate(tensors, aggregator, base, result->tensor);
  return Scores(std::move(result));
}

KeepSet RunnerLayerView::top_k(const Scores& scores, int64_t budget, int64_t forced_tail) {
  require(scores.tokens() + forced_tail == live(),
          "top_k: the scores and the forced tail must cover the live tokens");
  if (budget >= live()) return {};
  const int64_t count = std::max<int64_t>(budget - forced_tail, 0);
  auto result = make_keep_set(model_.backend(), scores.rows(), count + forced_tail);
  model_.backend().top_k(scores.impl()->tensor, count, forced_tail, result->tensor);
  return KeepSet(std::move(result));
}

Scores RunnerLayerView::put(std::span<const float> values) {
  require(!values.empty(), "put: no values");
  auto result = make_scores(model_.backend(), 1, static_cast<int64_t>(values.size()));
  model_.backend().upload(values.data(), values.size_bytes(), result->tensor.data);
  return Scores(std::move(result));
}

KeepSet RunnerLayerView::keep(std::vector<int32_t> indices) {
  for (size_t i = 0; i < indices.size(); ++i) {
    require(indices[i] >= (i == 0 ? 0 : indices[i - 1] + 1) && indices[i] < live(),
            "keep: indices must be ascending, unique and inside the live tokens");
  }
  if (static_cast<int64_t>(indices.size()) == live()) return {};
  auto result = make_keep_set(model_.backend(), 1, static_cast<int64_t>(indices.size()));
  model_.backend().upload(indices.data(), indices.size() * sizeof(int32_t), result->tensor.data);
  return KeepSet(std::move(result));
}

}  // namespace claa
