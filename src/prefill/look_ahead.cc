#include "prefill/look_ahead.h"

#include <algorithm>

#include "backend/host_ops.h"
#include "core/counts.h"
#include "core/usize.h"
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

void AnswerScores::observe(const Tensor& q, const KvView& kv, const SoftmaxRule& rule) {
  if (!wants_more()) return;
  const KvView prompt{kv.k, kv.v, tokens_};
  backend_.window_scores(q, prompt, nullptr, score_spec(), rule, layer_->tensor);
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
  std::vector<float> mean(usize(tokens_));
  backend_.download(sum_->tensor.data, sum_->tensor.bytes(), mean.data());
  for (float& value : mean) value /= static_cast<float>(taken_);
  if (spec_.pool_first || tokens_ < spec_.kernel) return mean;
  std::vector<float> pooled(mean.size());
  host::pool(mean.data(), tokens_, spec_.pool, spec_.kernel, pooled.data());
  return pooled;
}

namespace {

void check_any_layer_ranks(const PromptInfo& info) {
  for (int layer = 0; layer < info.layers; ++layer) {
    if (sees_whole_prompt(info, layer)) return;
  }
  fail(ErrorCode::kUnsupported, "no layer of this model sees the whole prompt, so that none can rank it");
}

}  // namespace

AnswerPass::AnswerPass(AnswerPassSpec spec, const PrefillOptions& options)
    : spec_(std::move(spec)),
      options_(options),
      info_(prompt_info(spec_.model.config(), static_cast<int64_t>(spec_.ids.size()))),
      positions_(std::min(spec_.model.config().context, info_.tokens + options.reserve)),
      cache_(spec_.model.config(), spec_.model.backend()) {
  require(info_.tokens > 0, "an answer needs a prompt");
  check_any_layer_ranks(info_);
  info_.ids = spec_.ids;
  info_.model_fingerprint = options.model_fingerprint;
  const PassContext context{spec_.model, options_, info_};
  reserve_memory(context, info_.tokens, [&](int64_t) { return info_.tokens + options.reserve; });
  cache_.next_position = info_.tokens;
  prefill_ = std::make_unique<StoringPass>(context, cache_, [this](LayerView& view) {
    if (!sees_whole_prompt(info_, view.layer())) return;
    for (AnswerScores* scores : spec_.scores) scores->observe(view);
    if (spec_.on_layer) spec_.on_layer(view);
  });
}

bool AnswerPass::step() {
  if (prefill_ == nullptr) return feed();
  if (prefill_->step()) return true;
  logits_ = prefill_->logits();
  prefill_ = nullptr;
  for (AnswerScores* scores : spec_.scores) scores->end_query();
  decoder_ = std::make_unique<Decoder>(spec_.model, cache_);
  return true;
}

bool AnswerPass::feed() {
  if (decoder_ == nullptr) return false;
  check_cancelled(options_.cancel);
  const int32_t token = spec_.next(logits_);
  if (token < 0 || cache_.next_position >= positions_) {
    decoder_ = nullptr;
    return false;
  }
  logits_ = decoder_->step(token, [this](int64_t layer, const Tensor& q, const KvView& kv) {
    if (!sees_whole_prompt(info_, static_cast<int>(layer))) return;
    for (AnswerScores* scores : spec_.scores) scores->observe(q, kv, spec_.model.softmax_rule(layer));
  });
  for (AnswerScores* scores : spec_.scores) scores->end_query();
  return true;
}

namespace {

int64_t check_fits(const Model& model, int64_t tokens) {
  if (tokens > model.config().context) {
    fail(ErrorCode::kContextExceeded,
         "the prompt has {} tokens, the draft model's context holds {}; use another one",
         group_digits(tokens), group_digits(model.config().context));
  }
  return tokens;
}

NextToken greedy(int64_t steps, std::function<bool(int32_t)> ends_answer) {
  return [steps, ends_answer = std::move(ends_answer),
          fed = int64_t{0}](const std::vector<float>& logits) mutable {
    if (fed++ == steps) return -1;
    const int32_t best = greedy_token(logits);
    return ends_answer && ends_answer(best) ? -1 : best;
  };
}

PrefillOptions with_reserve(PrefillOptions options, int64_t reserve) {
  options.reserve = reserve;
  return options;
}

}  // namespace

LookAheadPass::LookAheadPass(const Model& model, std::span<const int32_t> ids, const LookAheadSpec& spec,
                             const PrefillOptions& options)
    : scores_(model.backend(), spec, check_fits(model, static_cast<int64_t>(ids.size())), spec.steps + 1),
      pass_({model, ids, greedy(spec.steps, options.ends_answer), {&scores_}},
            with_reserve(options, spec.steps)) {}

}  // namespace claa
