#include "claa/ranker.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "prefill/confidence.h"

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
  RankedRun(const PromptInfo& prompt, const RankSchedule& schedule, std::unique_ptr<Ranker> ranker,
            std::unique_ptr<Ranker> early_ranker)
      : schedule_(schedule),
        ranker_(std::move(ranker)),
        early_ranker_(std::move(early_ranker)),
        live_budget_(schedule.live.of(prompt.tokens, schedule.window)),
        kept_budget_(schedule.kept.of(prompt.tokens, schedule.window)),
        prompt_tokens_(prompt.tokens) {
    // After the last layer nothing is left to save.
    drops_live_ = schedule.selection_layer >= 0 && schedule.selection_layer < prompt.layers - 1 &&
                  live_budget_ < prompt.tokens;
    drops_kept_ = kept_budget_ < prompt.tokens && schedule.first_layer < prompt.layers;
  }

  bool may_drop(int layer) const override {
    return drops_live_ && (layer == schedule_.selection_layer || early_drop(layer) != nullptr);
  }

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

  void listen(LayerView& view, int64_t fed) override {
    const Scores scores = ranker_->look_ahead(view, fed);
    if (scores.empty()) return;
    const auto prompt = static_cast<size_t>(prompt_tokens_), before = heard_.size();
    const std::vector<float> rows = scores.to_host();
    for (auto row = rows.begin(); row != rows.end(); row += static_cast<int64_t>(prompt)) {
      // What the window's own columns took is shared out among the tokens that are ranked.
      const auto window = row + static_cast<int64_t>(before);
      const double ranked = std::accumulate(row, window, 0.0);
      const double say = std::accumulate(window, row + static_cast<int64_t>(prompt), ranked);
      const auto factor = static_cast<float>(ranked > 0 ? say / ranked : 0);
      for (size_t t = 0; t < before; ++t) heard_[t] += factor * row[static_cast<int64_t>(t)];
    }
  }

  RunReport report() const override {
    RunReport report;
    report.active = drops_live_ || drops_kept_;
    if (drops_live_) report.selection_layer = schedule_.selection_layer;
    report.scores = prompt_scores();
    if (!report.active) report.reason = reason();
    report.signals = signals_;
    report.note = note_ + (note_.empty() || early_note_.empty() ? "" : ", ") + early_note_;
    return report;
  }

 private:
  // Up to the selection layer scores are gathered, there they choose, and later they are looked up.
  Decision decide_by_one(LayerView& view, bool compress) {
    Decision decision;
    // After an early drop only the window may be left: nothing remains to be ranked or dropped.
    if ((!drops_live_ && !drops_kept_) || view.live() <= schedule_.window) return decision;
    if (view.layer() > schedule_.selection_layer) {
      if (!compress || drafting()) return decision;
      if (later_.empty()) later_ = chosen_at(view);  // the live tokens stay the same from here on
      decision.kept = view.top_k(later_, kept_budget_, schedule_.window);
      return decision;
    }
    if (drafting()) {
      history_.push_back(view.put(heard_));
      heard_.clear();
      return choose(view, compress);
    }
    if (Scores scores = ranker_->rank(view); !scores.empty()) history_.push_back(std::move(scores));
    if (view.layer() < schedule_.selection_layer) {
      if (early_ranker_ != nullptr && drops_live_ && view.layer() <= schedule_.early.back().layer) {
        if (Scores scores = early_ranker_->rank(view); !scores.empty())
          early_history_.push_back(std::move(scores));
      }
      if (const EarlyDrop* drop = early_drop(view.layer()); drop != nullptr && drops_live_)
        decision.live = drop_early(view, Budget{drop->rate, 0}.of(prompt_tokens_, schedule_.window));
      return decision;
    }
    if (schedule_.look_ahead == 0 || !drops_live_) return choose(view, compress);
    heard_.assign(static_cast<size_t>(prompt_tokens_ - schedule_.window), 0.0f);
    const int64_t budget = std::min(live_budget_, schedule_.draft.of(prompt_tokens_, schedule_.window));
    decision.live = view.top_k(ranker_->combine(view, history_), budget, schedule_.window);
    decision.look_ahead = schedule_.look_ahead;
    return decision;
  }

  // Between the two choices of a look-ahead.
  bool drafting() const { return !heard_.empty(); }

  // At the selection layer, when all have been heard.
  Decision choose(LayerView& view, bool compress) {
    Decision decision;
    chosen_by_ = ranker_->combine(view, history_);
    if (schedule_.mass > 0) choose_budgets();
    judge(view.live());
    history_.clear();
    if (view.live() < prompt_tokens_) ranked_.assign(view.positions().begin(), view.positions().end());
    if (drops_live_) decision.live = view.top_k(chosen_by_, live_budget_, schedule_.window);
    if (compress && view.live() > kept_budget_) {
      decision.kept = view.top_k(chosen_by_, kept_budget_, schedule_.window);
      decision.kept_since = schedule_.early.empty()
                                ? schedule_.first_layer
                                : std::max(schedule_.first_layer, schedule_.early.back().layer + 1);
    }
    return decision;
  }

  // As many tokens as the mass of the ranking wants, inside the budgets.
  void choose_budgets() {
    const int64_t floor = Budget{schedule_.mass_floor, 0}.of(prompt_tokens_, schedule_.window);
    const int64_t wanted =
        std::max(floor, tokens_of_mass(chosen_by_.to_host(), schedule_.mass) + schedule_.window);
    live_budget_ = std::min(live_budget_, wanted);
    kept_budget_ = std::min(kept_budget_, wanted);
  }

  // Measures the ranking and raises the budgets where it is unsure of itself. What was dropped early is gone.
  // Only for a gate: the scores of every head come to the host for it.
  void judge(int64_t live) {
    if (schedule_.min_confidence <= 0) return;
    const int64_t budget = std::min(drops_live_ ? live_budget_ : kept_budget_, live);
    signals_ = ranking_signals(rows_of(history_), budget - schedule_.window);
    if (signals_->confidence >= schedule_.min_confidence) return;
    const int64_t raised = Budget{schedule_.unsure_keep, 0}.of(prompt_tokens_, schedule_.window);
    live_budget_ = std::max(live_budget_, raised);
    kept_budget_ = std::max(kept_budget_, raised);
    const bool dropped = live < prompt_tokens_;
    drops_live_ = drops_live_ && (dropped || live_budget_ < live);
    drops_kept_ = drops_kept_ && (dropped || kept_budget_ < live);
    note_ = fmt::format("the ranking's confidence of {:.2f} is below min_confidence {:g}: {} tokens kept",
                        signals_->confidence, schedule_.min_confidence, std::min(live_budget_, live));
  }

  // One a head; an early drop has left those before it as one.
  static std::vector<std::vector<float>> rows_of(const std::vector<Scores>& history) {
    std::vector<std::vector<float>> rows;
    for (const Scores& scores : history) {
      const std::vector<float> values = scores.to_host();
      for (auto row = values.begin(); row != values.end(); row += scores.tokens())
        rows.emplace_back(row, row + scores.tokens());
    }
    return rows;
  }

  const EarlyDrop* early_drop(int layer) const {
    for (const EarlyDrop& drop : schedule_.early) {
      if (drop.layer == layer) return &drop;
    }
    return nullptr;
  }

  // Drops by the scores so far; those of the tokens that live on go on as one row.
  KeepSet drop_early(LayerView& view, int64_t budget) {
    combine_into_one(view, *ranker_, history_);
    if (early_ranker_ != nullptr) combine_into_one(view, *early_ranker_, early_history_);
    const Scores& so_far = early_ranker_ != nullptr ? early_history_.front() : history_.front();
    // Never below what the selection layer wants to choose from.
    KeepSet live = view.top_k(so_far, std::max(budget, live_budget_), schedule_.window);
    if (live.all()) return live;
    const std::vector<int32_t> indices = live.to_host();
    early_note_ += fmt::format("{}{} tokens left after layer {}", early_note_.empty() ? "" : ", ",
                               indices.size(), view.layer());
    for (std::vector<Scores>* history : {&history_, &early_history_}) {
      if (!history->empty()) history->front() = scores_at(view, history->front(), indices);
    }
    return live;
  }

  static void combine_into_one(LayerView& view, Ranker& ranker, std::vector<Scores>& history) {
    if (!history.empty()) history = {ranker.combine(view, history)};
  }

  // Of the tokens before the window that live on; there is at least one unless the window alone does, and
  // then nobody asks.
  Scores scores_at(LayerView& view, const Scores& scores, const std::vector<int32_t>& live) const {
    const std::vector<float> all = scores.to_host();
    std::vector<float> values;
    for (const int32_t index : std::span(live).first(live.size() - static_cast<size_t>(schedule_.window)))
      values.push_back(all[static_cast<size_t>(index)]);
    return values.empty() ? Scores() : view.put(values);
  }

  // The ranking, one a token of the prompt before the window. Tokens that were dropped early have no part in
  // it and stand at 0, below which no score falls.
  std::vector<float> prompt_scores() const {
    std::vector<float> scores = chosen_by_.to_host();
    if (ranked_.empty()) return scores;
    std::vector<float> all(static_cast<size_t>(prompt_tokens_ - schedule_.window), 0.0f);
    for (size_t i = 0; i < scores.size(); ++i) all[static_cast<size_t>(ranked_[i])] = scores[i];
    return all;
  }

  // The ranking of the whole prompt at the live tokens of a later layer.
  Scores chosen_at(LayerView& view) {
    const std::vector<float> all = prompt_scores();
    std::vector<float> values;
    for (const int32_t position : view.positions().first(static_cast<size_t>(view.live() - schedule_.window)))
      values.push_back(all[static_cast<size_t>(position)]);
    return view.put(values);
  }

  std::string reason() const {
    if (!note_.empty()) return note_;
    if (prompt_tokens_ <= schedule_.window) {
      return fmt::format("the prompt's {} tokens fit the window of {}", prompt_tokens_, schedule_.window);
    }
    if (live_budget_ < prompt_tokens_ || kept_budget_ < prompt_tokens_) {
      return "every layer of this model is outside the method's schedule: see first_layer";
    }
    return keeps_all_reason(live_budget_);
  }

  RankSchedule schedule_;
  std::unique_ptr<Ranker> ranker_, early_ranker_;  // the second may be null
  int64_t live_budget_, kept_budget_, prompt_tokens_;
  bool drops_live_ = false, drops_kept_ = false;
  std::vector<Scores> history_, early_history_;
  Scores chosen_by_;
  std::vector<int32_t> ranked_;  // prompt positions of its tokens, after early drops; empty: from 0 on
  std::optional<RankingSignals> signals_;
  std::string note_, early_note_;
  std::vector<float> heard_;  // from drafted tokens, one a token before the window; empty: nothing is drafted
  Scores later_;              // chosen_by_ at the tokens that live on
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
                                     std::unique_ptr<Ranker> ranker, std::unique_ptr<Ranker> early_ranker) {
  return std::make_unique<RankedRun>(prompt, schedule, std::move(ranker), std::move(early_ranker));
}

}  // namespace claa
