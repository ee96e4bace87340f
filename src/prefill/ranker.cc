// The common part of the plain runs: parameters, reasons, the run of a method that chooses at the entry.
#include "claa/ranker.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/check.h"
#include "core/counts.h"
#include "core/usize.h"

namespace claa {

Entry Run::entry(std::vector<float> /*look_ahead*/) {
  return {};
}

namespace {

bool is_marked(const std::vector<bool>& layers, int layer) {
  return usize(layer) < layers.size() && layers[usize(layer)];
}

bool has_recurrent_layers(const PromptInfo& prompt) {
  return std::find(prompt.recurrent.begin(), prompt.recurrent.end(), true) != prompt.recurrent.end();
}

}  // namespace

bool sees_whole_prompt(const PromptInfo& prompt, int layer) {
  return !is_marked(prompt.windowed, layer) && !is_marked(prompt.recurrent, layer) &&
         (prompt.first_shared < 0 || layer < prompt.first_shared);
}

namespace {

// Whether tokens may be dropped after a layer: one that ranks, before those that later layers read.
bool may_drop_after(const PromptInfo& prompt, int layer) {
  return sees_whole_prompt(prompt, layer) && (prompt.first_read < 0 || layer < prompt.first_read);
}

// Why a layer cannot do it, and the others that can.
[[noreturn]] void refuse_layer(const PromptInfo& prompt, int layer,
                               bool (*can)(const PromptInfo& prompt, int layer)) {
  std::vector<int> others;
  for (int other = 0; other < prompt.layers - 1; ++other) {
    if (can(prompt, other)) others.push_back(other);
  }
  if (others.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "no layer of this model {} sees the whole prompt, so that none can choose its tokens; use method "
         "full",
         prompt.first_read < 0 ? "but the last" : "before those whose keys and values later ones read");
  }
  const bool shares = prompt.first_shared >= 0 && layer >= prompt.first_shared;
  fail(ErrorCode::kInvalidArgument, "layer {} {}; tokens can be chosen after layers {}", layer,
       shares                               ? "reads keys and values of an earlier one and does not rank"
       : sees_whole_prompt(prompt, layer)   ? "comes after layers whose keys and values later ones read"
       : is_marked(prompt.recurrent, layer) ? "is recurrent and cannot rank the whole prompt"
                                            : "has a sliding window and cannot rank the whole prompt",
       fmt::join(others, ", "));
}

}  // namespace

void check_sees_whole_prompt(const PromptInfo& prompt, int layer) {
  if (!sees_whole_prompt(prompt, layer)) refuse_layer(prompt, layer, sees_whole_prompt);
}

// spec.md 1.9, 1.10.
void check_drop(const PromptInfo& prompt, int layer) {
  if (!may_drop_after(prompt, layer)) refuse_layer(prompt, layer, may_drop_after);
  const int half = std::max(0, prompt.layers / 2 - 1);
  if (!has_recurrent_layers(prompt) || layer >= half) return;
  fail(ErrorCode::kInvalidArgument,
       "tokens cannot be dropped after layer {}: the model has recurrent layers, and selects from half depth "
       "on, which is layer {}",
       layer, half);
}

void check_drop(const PromptInfo& prompt, int layer, int64_t budget, int64_t window) {
  constexpr double kLeast = 0.2;
  check_drop(prompt, layer);
  const int64_t least = Budget{kLeast, 0}.of(prompt.tokens, window);
  if (!has_recurrent_layers(prompt) || prompt.profiled || budget >= least) return;
  fail(ErrorCode::kInvalidArgument,
       "{} of {} tokens are too few for a model with recurrent layers, which nobody has measured; keep at "
       "least {}, or use a profile made for this model",
       group_digits(budget), group_digits(prompt.tokens), group_digits(least));
}

int64_t protected_tokens(const PromptInfo& prompt) {
  int64_t count = 0;
  for (const TokenRange& span : prompt.protected_spans) count += span.end - span.begin;
  return count;
}

Budget SelectionParams::kept_budget() const {
  if (kv_keep_tokens > 0 || kv_keep > 0) return {kv_keep > 0 ? kv_keep : keep, kv_keep_tokens};
  return live_budget();
}

ScoreSpec SelectionParams::score_spec() const {
  ScoreSpec spec;
  spec.window = window;
  spec.kernel = kernel;
  spec.pool = pooling == "max" ? PoolKind::kMax : pooling == "none" ? PoolKind::kNone : PoolKind::kAverage;
  return spec;
}

namespace {

// The first layer from half depth on after which tokens may be dropped, or the last one before, if there is
// any.
int half_depth(const PromptInfo& prompt) {
  const int half = std::max(0, prompt.layers / 2 - 1);
  for (int layer = half; layer < prompt.layers - 1; ++layer) {
    if (may_drop_after(prompt, layer)) return layer;
  }
  for (int layer = half - 1; layer >= 0; --layer) {
    if (may_drop_after(prompt, layer)) return layer;
  }
  return half;
}

}  // namespace

int SelectionParams::selection_layer_of(const PromptInfo& prompt) const {
  if (selection_layer >= prompt.layers - 1) {
    fail(ErrorCode::kInvalidArgument,
         "selection_layer {} does not fit a model of {} layers; choose 0..{} or -1", selection_layer,
         prompt.layers, prompt.layers - 2);
  }
  const int layer = selection_layer >= 0 ? static_cast<int>(selection_layer) : half_depth(prompt);
  check_sees_whole_prompt(prompt, layer);
  return layer;
}

std::string keeps_all_reason(int64_t budget) {
  return fmt::format("the budget of {} tokens keeps the whole prompt", group_digits(budget));
}

namespace {

class ChoosingRun : public Run {
 public:
  ChoosingRun(const PromptInfo& prompt, EntryRun run)
      : run_(std::move(run)),
        active_(run_.budget < prompt.tokens),
        most_(std::min(prompt.tokens, run_.budget + protected_tokens(prompt))) {}

  std::optional<PreviewSpec> preview_spec() const override { return active_ ? run_.preview : std::nullopt; }
  void preview(LayerView& view) override {
    if (view.layer() == run_.preview->last_layer) scores_ = run_.rank(view).to_host();
  }
  Entry entry(std::vector<float> look_ahead) override {
    if (!active_) return {};
    EntryChoice choice = run_.choose(look_ahead.empty() ? std::move(scores_) : std::move(look_ahead));
    scores_ = std::move(choice.scores);
    return std::move(choice.entry);
  }
  Decision decide(LayerView& /*view*/) override { return {}; }
  std::optional<int> first_drop() const override { return active_ ? std::optional(-1) : std::nullopt; }
  std::optional<int64_t> most_kept(int /*layer*/) const override { return most_; }
  RunReport report() const override {
    RunReport report;
    report.active = active_;
    report.scores = scores_;
    if (!active_) report.reason = keeps_all_reason(run_.budget);
    return report;
  }

 private:
  EntryRun run_;
  bool active_;
  int64_t most_;
  std::vector<float> scores_;
};

}  // namespace

std::unique_ptr<Run> make_run(const PromptInfo& prompt, EntryRun run) {
  return std::make_unique<ChoosingRun>(prompt, std::move(run));
}

}  // namespace claa
