#include "claa/ranker.h"

#include <algorithm>

#include "core/check.h"

namespace claa {

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

std::string keeps_all_reason(int64_t budget) {
  return fmt::format("the budget of {} tokens keeps the whole prompt", budget);
}

int SelectionParams::selection_layer_of(const PromptInfo& prompt) const {
  if (selection_layer >= prompt.layers - 1) {
    fail(ErrorCode::kInvalidArgument,
         "selection_layer {} does not fit a model of {} layers; choose 0..{} or -1", selection_layer,
         prompt.layers, prompt.layers - 2);
  }
  return selection_layer >= 0 ? static_cast<int>(selection_layer) : std::max(0, prompt.layers / 2 - 1);
}

namespace {

class RankedRun : public Run {
 public:
  RankedRun(const PromptInfo& prompt, const RankSchedule& schedule, std::unique_ptr<Ranker> ranker)
      : schedule_(schedule),
        ranker_(std::move(ranker)),
        live_budget_(schedule.live.of(prompt.tokens, schedule.window)),
        kept_budget_(schedule.kept.of(prompt.tokens, schedule.window)),
        prompt_tokens_(prompt.tokens) {
    // After the last layer nothing is left to save.
    drops_live_ = schedule.selection_layer >= 0 && schedule.selection_layer < prompt.layers - 1 &&
                  live_budget_ < prompt.tokens;
    drops_kept_ = kept_budget_ < prompt.tokens && schedule.first_layer < prompt.layers;
  }

  bool may_drop(int layer) const override { return drops_live_ && layer == schedule_.selection_layer; }

  Decision decide(LayerView& view) override {
    const int layer = view.layer();
    const bool compress = drops_kept_ && layer >= schedule_.first_layer && view.live() > kept_budget_;
    if (schedule_.one_ranking) return decide_by_one(view, compress);
    // No scoring where nobody reads it: neither this layer's cache nor the history of the selection layer.
    const bool remember = drops_live_ && layer <= schedule_.selection_layer &&
                          layer > schedule_.selection_layer - schedule_.history;
    Decision decision;
    const bool observable = view.live() > schedule_.window;  // else everything is window, and is kept
    if ((!compress && !remember) || !observable) return decision;
    Scores scores = ranker_->rank(view);
    if (compress) decision.kept = view.top_k(scores, kept_budget_, schedule_.window);
    if (remember) {
      history_.push_back(std::move(scores));
      if (layer == schedule_.selection_layer) {
        chosen_by_ = ranker_->combine(view, history_);
        history_.clear();
        decision.live = view.top_k(chosen_by_, live_budget_, schedule_.window);
      }
    }
    return decision;
  }

  RunReport report() const override {
    RunReport report;
    report.active = drops_live_ || drops_kept_;
    if (drops_live_) report.selection_layer = schedule_.selection_layer;
    report.scores = chosen_by_.to_host();
    if (!report.active) report.reason = reason();
    return report;
  }

 private:
  // Up to the selection layer scores are gathered, there they choose, and later they are looked up.
  Decision decide_by_one(LayerView& view, bool compress) {
    Decision decision;
    if (!drops_live_ && !drops_kept_) return decision;
    if (view.layer() > schedule_.selection_layer) {
      if (!compress) return decision;
      if (later_.empty()) later_ = chosen_at(view);  // the live tokens stay the same from here on
      decision.kept = view.top_k(later_, kept_budget_, schedule_.window);
      return decision;
    }
    if (Scores scores = ranker_->rank(view); !scores.empty()) history_.push_back(std::move(scores));
    if (view.layer() < schedule_.selection_layer) return decision;
    chosen_by_ = ranker_->combine(view, history_);
    history_.clear();
    if (drops_live_) decision.live = view.top_k(chosen_by_, live_budget_, schedule_.window);
    if (compress) {
      decision.kept = view.top_k(chosen_by_, kept_budget_, schedule_.window);
      decision.kept_since = schedule_.first_layer;
    }
    return decision;
  }

  // The ranking of the whole prompt at the live tokens of a later layer.
  Scores chosen_at(LayerView& view) {
    const std::vector<float> all = chosen_by_.to_host();
    std::vector<float> values;
    for (const int32_t position : view.positions().first(static_cast<size_t>(view.live() - schedule_.window)))
      values.push_back(all[static_cast<size_t>(position)]);
    return view.put(values);
  }

  std::string reason() const {
    if (prompt_tokens_ <= schedule_.window) {
      return fmt::format("the prompt's {} tokens fit the window of {}", prompt_tokens_, schedule_.window);
    }
    if (live_budget_ < prompt_tokens_ || kept_budget_ < prompt_tokens_) {
      return "every layer of this model is outside the method's schedule: see first_layer";
    }
    return keeps_all_reason(live_budget_);
  }

  RankSchedule schedule_;
  std::unique_ptr<Ranker> ranker_;
  int64_t live_budget_, kept_budget_, prompt_tokens_;
  bool drops_live_ = false, drops_kept_ = false;
  std::vector<Scores> history_;
  Scores chosen_by_;
  Scores later_;  // chosen_by_ at the tokens that live on
};

class EntryRun : public Run {
 public:
  EntryRun(const PromptInfo& prompt, int64_t budget, std::function<EntryChoice(Passes&)> choose)
      : active_(budget < prompt.tokens), budget_(budget), choose_(std::move(choose)) {}
  Entry entry(Passes& passes) override {
    if (!active_) return {};
    EntryChoice choice = choose_(passes);
    scores_ = std::move(choice.scores);
    return std::move(choice.entry);
  }
  bool may_drop(int /*layer*/) const override { return false; }
  Decision decide(LayerView& /*view*/) override { return {}; }
  RunReport report() const override {
    RunReport report;
    report.active = active_;
    report.scores = scores_;
    if (!active_) report.reason = keeps_all_reason(budget_);
    return report;
  }

 private:
  bool active_;
  int64_t budget_;
  std::function<EntryChoice(Passes&)> choose_;
  std::vector<float> scores_;
};

}  // namespace

std::unique_ptr<Run> make_entry_run(const PromptInfo& prompt, int64_t budget,
                                    std::function<EntryChoice(Passes&)> choose) {
  return std::make_unique<EntryRun>(prompt, budget, std::move(choose));
}

std::unique_ptr<Run> make_ranked_run(const PromptInfo& prompt, const RankSchedule& schedule,
                                     std::unique_ptr<Ranker> ranker) {
  return std::make_unique<RankedRun>(prompt, schedule, std::move(ranker));
}

}  // namespace claa
