#include "prefill/layer_view.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "core/counts.h"
#include "core/usize.h"
#include "kv/keep_set.h"

namespace claa {

Tensor RunnerLayerView::window_queries(int64_t window) {
  if (known_.data != nullptr && known_.rows() >= window)
    return known_.slice_rows(known_.rows() - window, window);
  if (queries_.data != nullptr && queries_.rows() == window) return queries_;
  require(state_.hidden.data != nullptr, "scores: only the queries of the drafted tokens are known");
  const Model& model = state_.model;
  Backend& backend = model.backend();
  const int64_t columns = model.config().q_size(state_.layer);
  queries_memory_ = backend.allocate(usize(window * columns) * dtype_bytes(backend.dtype()));
  queries_ = Tensor::matrix(queries_memory_.data(), backend.dtype(), window, columns);
  const int64_t first = live() - window, chunk = state_.work.rows();
  for (int64_t row = 0; row < window; row += chunk) {
    const int64_t rows = std::min(chunk, window - row);
    const Tensor normed =
        state_.normed.data != nullptr
            ? state_.normed.slice_rows(first + row, rows)
            : model.attention_norm(state_.layer, state_.hidden.slice_rows(first + row, rows), state_.work);
    model.project_q(state_.layer, normed, state_.positions.subspan(usize(first + row), usize(rows)),
                    state_.rope, queries_.slice_rows(row, rows), state_.work);
  }
  return queries_;
}

Scores RunnerLayerView::scores(const ScoreSpec& spec) {
  const ModelConfig& config = state_.model.config();
  Backend& backend = state_.model.backend();
  if (const int64_t window = config.spec(state_.layer).window; window > 0) {
    fail(ErrorCode::kUnsupported,
         "layer {} sees a sliding window of {} positions and cannot rank the whole prompt", state_.layer,
         group_digits(window));
  }
  if (config.spec(state_.layer).recurrent)
    fail(ErrorCode::kUnsupported, "layer {} is recurrent and cannot rank the prompt", state_.layer);
  if (!config.has_own_kv(state_.layer)) {
    fail(ErrorCode::kUnsupported, "layer {} reads keys and values of layer {} and does not rank the prompt",
         state_.layer, config.spec(state_.layer).kv_source);
  }
  const int64_t kv_heads = config.kv_heads_of(state_.layer);
  check_score_spec(spec, config.heads, kv_heads, live());
  auto result = make_scores(backend, score_rows(spec, config.heads, kv_heads), score_tokens(spec, live()));
  backend.window_scores(window_queries(spec.window), state_.kv, state_.packed, spec,
                        state_.model.softmax_rule(state_.layer), result->tensor);
  return Scores(std::move(result));
}

Scores RunnerLayerView::aggregate(std::span<const Scores> layers, Aggregator aggregator, double base) {
  require(!layers.empty(), "aggregate: no layers");
  std::vector<Tensor> tensors;
  for (const Scores& scores : layers) tensors.push_back(scores.impl()->tensor);
  auto result = make_scores(state_.model.backend(), 1, layers.front().tokens());
  state_.model.backend().aggregate(tensors, aggregator, base, result->tensor);
  return Scores(std::move(result));
}

std::vector<int32_t> RunnerLayerView::protected_indices() const {
  std::vector<int32_t> indices;
  auto next = state_.positions.begin();
  for (const TokenRange& span : state_.info.protected_spans) {
    next = std::lower_bound(next, state_.positions.end(), static_cast<int32_t>(span.begin));
    for (; next != state_.positions.end() && *next < span.end; ++next)
      indices.push_back(static_cast<int32_t>(next - state_.positions.begin()));
  }
  return indices;
}

namespace {

// A copy of `scores` in which these columns stand above all others.
Scores raise_columns(Backend& backend, const Scores& scores, std::span<const int32_t> columns) {
  std::vector<float> values = scores.to_host();
  const int64_t tokens = scores.tokens();
  for (int64_t row = 0; row < scores.rows(); ++row) {
    for (const int32_t column : columns)
      values[usize(row * tokens + column)] = std::numeric_limits<float>::max();
  }
  auto raised = make_scores(backend, scores.rows(), tokens);
  backend.upload(values.data(), values.size() * sizeof(float), raised->tensor.data);
  return Scores(std::move(raised));
}

}  // namespace

KeepSet RunnerLayerView::top_k(const Scores& scores, int64_t budget, int64_t forced_tail) {
  require(scores.tokens() + forced_tail == live(),
          "top_k: the scores and the forced tail must cover the live tokens");
  Backend& backend = state_.model.backend();
  std::vector<int32_t> above = protected_indices();
  above.erase(std::lower_bound(above.begin(), above.end(), static_cast<int32_t>(scores.tokens())),
              above.end());
  const Scores raised = above.empty() ? scores : raise_columns(backend, scores, above);
  const int64_t count = std::max(budget - forced_tail, static_cast<int64_t>(above.size()));
  if (count + forced_tail >= live()) return {};
  auto result = make_keep_set(backend, scores.rows(), count + forced_tail);
  backend.top_k(raised.impl()->tensor, count, forced_tail, result->tensor);
  return KeepSet(std::move(result));
}

Scores RunnerLayerView::put(std::span<const float> values) {
  require(!values.empty(), "put: no values");
  Backend& backend = state_.model.backend();
  auto result = make_scores(backend, 1, static_cast<int64_t>(values.size()));
  backend.upload(values.data(), values.size_bytes(), result->tensor.data);
  return Scores(std::move(result));
}

KeepSet RunnerLayerView::keep(std::vector<int32_t> indices) {
  for (size_t i = 0; i < indices.size(); ++i) {
    require(indices[i] >= (i == 0 ? 0 : indices[i - 1] + 1) && indices[i] < live(),
            "keep: indices must be ascending, unique and inside the live tokens");
  }
  const std::vector<int32_t> above = protected_indices();
  std::vector<int32_t> all;
  std::set_union(indices.begin(), indices.end(), above.begin(), above.end(), std::back_inserter(all));
  if (static_cast<int64_t>(all.size()) == live()) return {};
  Backend& backend = state_.model.backend();
  auto result = make_keep_set(backend, 1, static_cast<int64_t>(all.size()));
  backend.upload(all.data(), all.size() * sizeof(int32_t), result->tensor.data);
  return KeepSet(std::move(result));
}

int64_t RunnerLayerView::draft(const KeepSet& kept, int64_t tokens, const ListenToDraft& listen) {
  require(draft_ != nullptr, "draft: only the pass that the method decides in can draft");
  return draft_(kept, tokens, listen);
}

}  // namespace claa
