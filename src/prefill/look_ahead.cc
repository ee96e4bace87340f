#include "prefill/look_ahead.h"

#include <algorithm>

#include "backend/host_ops.h"
#include "kv/keep_set.h"

namespace claa {

AnswerScores::AnswerScores(Backend& backend, const LookAheadSpec& spec, int64_t tokens, int64_t queries)
    : backend_(backend),
      spec_(spec),
      tokens_(tokens),
      queries_(queries),
      layer_(make_scores(backend, 1, tokens)),
      best_(make_scores(backend, 1, tokens)),
      sum_(make_scores(backend, 1, tokens)),
      spare_(make_scores(backend, 1, tokens)) {}

ScoreSpec AnswerScores::score_spec() const {
  ScoreSpec spec;
  spec.window = 1;
  spec.drop_window = false;
  spec.pool = spec_.pool_first ? spec_.pool : PoolKind::kNone;
  spec.kernel = spec_.kernel;
  spec.group = spec.heads = Reduce::kMax;
  return spec;
}

void AnswerScores::merge(const Tensor& scores) {
  if (!has_best_) {
    const Tensor one[] = {scores};
    backend_.aggregate(one, Aggregator::kRawMax, 0, best_->tensor);
    has_best_ = true;
    return;
  }
  const Tensor both[] = {best_->tensor, scores};
  backend_.aggregate(both, Aggregator::kRawMax, 0, spare_->tensor);
  std::swap(best_, spare_);
}

void AnswerScores::observe(LayerView& view) {
  if (wants_more()) merge(view.scores(score_spec()).impl()->tensor);
}

void AnswerScores::observe(const Tensor& q, const KvView& kv) {
  if (!wants_more()) return;
  const KvView prompt{kv.k, kv.v, tokens_};
  backend_.window_scores(q, prompt, nullptr, score_spec(), layer_->tensor);
  merge(layer_->tensor);
}

void AnswerScores::end_query() {
  if (!wants_more()) return;
  require(has_best_, "an answer query without layers");
  if (taken_++ == 0) {
    std::swap(sum_, best_);
  } else {
    const Tensor both[] = {sum_->tensor, best_->tensor};
    backend_.aggregate(both, Aggregator::kSum, 0, spare_->tensor);
    std::swap(sum_, spare_);
  }
  has_best_ = false;
}

std::vector<float> AnswerScores::result() const {
  require(taken_ > 0, "answer scores without a query");
  std::vector<float> mean(static_cast<size_t>(tokens_));
  backend_.download(sum_->tensor.data, sum_->tensor.bytes(), mean.data());
  for (float& value : mean) value /= static_cast<float>(taken_);
  if (spec_.pool_first || tokens_ < spec_.kernel) return mean;
  std::vector<float> pooled(mean.size());
  host::pool(mean.data(), tokens_, spec_.pool, spec_.kernel, pooled.data());
  return pooled;
}

namespace {

// `full`, with someone looking on.
class ObservedRun : public Run {
 public:
  explicit ObservedRun(const AnswerPass& pass) : pass_(pass) {}
  bool may_drop(int /*layer*/) const override { return false; }
  bool keeps_all() const override { return true; }
  Decision decide(LayerView& view) override {
    for (AnswerScores* scores : pass_.scores) scores->observe(view);
    if (pass_.on_layer) pass_.on_layer(view);
    return {};
  }
  RunReport report() const override { return {}; }

 private:
  const AnswerPass& pass_;
};

class ObservedMethod : public Method {
 public:
  explicit ObservedMethod(const AnswerPass& pass) : pass_(pass) {}
  const std::string& name() const override { return name_; }
  std::vector<std::pair<std::string, std::string>> params() const override { return {}; }
  std::unique_ptr<Run> start(const PromptInfo& /*prompt*/) const override {
    return std::make_unique<ObservedRun>(pass_);
  }

 private:
  const AnswerPass& pass_;
  std::string name_ = "full";
};

}  // namespace

PrefillResult run_answer_pass(const AnswerPass& pass, const PrefillOptions& options) {
  const ModelConfig& config = pass.model.config();
  const int64_t tokens = static_cast<int64_t>(pass.ids.size());
  const int64_t positions = std::min(config.context, tokens + options.reserve);
  const RopeTables rope = make_rope_tables(config.rope, positions, pass.model.backend());
  PrefillResult prefill = run_prefill(pass.model, rope, pass.ids, ObservedMethod(pass), options);
  for (AnswerScores* scores : pass.scores) scores->end_query();
  Decoder decoder(pass.model, rope, *prefill.cache);
  const QueryObserver observe = [&](int64_t /*layer*/, const Tensor& q, const KvView& kv) {
    for (AnswerScores* scores : pass.scores) scores->observe(q, kv);
  };
  const std::vector<float>* logits = &prefill.logits;
  for (;;) {
    check_cancelled(options.cancel);
    const int32_t token = pass.next(*logits);
    if (token < 0 || prefill.cache->next_position >= positions) break;
    logits = &decoder.step(token, observe);
    for (AnswerScores* scores : pass.scores) scores->end_query();
  }
  return prefill;
}

std::vector<float> run_look_ahead(const LlamaModel& model, std::span<const int32_t> ids,
                                  const LookAheadSpec& spec, const PrefillOptions& options) {
  const int64_t tokens = static_cast<int64_t>(ids.size());
  if (tokens > model.config().context) {
    fail(ErrorCode::kContextExceeded,
         "the prompt has {} tokens, the draft model's context holds {}; use another one", tokens,
         model.config().context);
  }
  AnswerScores scores(model.backend(), spec, tokens, spec.steps + 1);
  int64_t fed = 0;
  const auto greedy = [&](const std::vector<float>& logits) {
    if (fed++ == spec.steps) return -1;
    const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    return options.ends_answer && options.ends_answer(best) ? -1 : best;
  };
  PrefillOptions own = options;
  own.reserve = spec.steps;
  run_answer_pass({model, ids, greedy, {&scores}, {}}, own);
  return scores.result();
}

}  // namespace claa
