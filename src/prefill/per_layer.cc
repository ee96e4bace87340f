// The plain run in which every layer's scores choose its own cache.
#include <algorithm>

#include "claa/ranker.h"
#include "core/check.h"
#include "core/counts.h"

namespace claa {
namespace {

class PerLayerRun : public Run {
 public:
  PerLayerRun(const PromptInfo& prompt, PerLayer schedule)
      : schedule_(std::move(schedule)),
        tokens_(prompt.tokens),
        protected_(protected_tokens(prompt)),
        kept_budget_(schedule_.kept.of(prompt.tokens, schedule_.window)),
        live_budget_(schedule_.live ? schedule_.live->budget.of(prompt.tokens, schedule_.window)
                                    : kept_budget_) {
    require(schedule_.ranker != nullptr, "a run needs a ranker");
    if (schedule_.live && schedule_.live->ranker == nullptr) schedule_.live->ranker = schedule_.ranker;
    // After the last layer nothing is left to save.
    drops_live_ = schedule_.live && schedule_.live->layer < prompt.layers - 1 && live_budget_ < tokens_;
    drops_kept_ = kept_budget_ < tokens_ && cuts_any(prompt);
    if (schedule_.live) {
      check_drop(prompt, schedule_.live->layer, live_budget_, schedule_.window);
      find_history(prompt);
    }
  }

  std::optional<int> first_drop() const override {
    return drops_live_ ? std::optional(schedule_.live->layer) : std::nullopt;
  }
  std::optional<int64_t> most_kept(int layer) const override {
    const int64_t live = drops_live_ && layer > schedule_.live->layer ? raised(live_budget_) : tokens_;
    return drops_kept_ && layer >= schedule_.first_layer ? std::min(live, raised(kept_budget_)) : live;
  }
  int64_t window() const override { return schedule_.window; }

  Decision decide(LayerView& view) override {
    const int layer = view.layer();
    const bool compress = drops_kept_ && layer >= schedule_.first_layer && view.live() > kept_budget_;
    // Layers whose scores are not used are not scored: neither for their cache nor for the live tokens.
    const bool remember = drops_live_ && layer <= schedule_.live->layer && layer >= history_from_;
    Decision decision;
    const bool observable = view.live() > schedule_.window;  // else everything is window, and is kept
    if ((!compress && !remember) || !observable) return decision;
    Scores scores;
    if (compress) {
      scores = schedule_.ranker->rank(view);
      decision.kept = view.top_k(scores, kept_budget_, schedule_.window);
    }
    if (remember) {
      Ranker& ranker = *schedule_.live->ranker;
      const bool known = compress && &ranker == schedule_.ranker.get();
      history_.push_back(known ? std::move(scores) : ranker.rank(view));
      if (layer == schedule_.live->layer) {
        chosen_by_ = ranker.combine(view, history_);
        history_.clear();
        decision.live = view.top_k(chosen_by_, live_budget_, schedule_.window);
      }
    }
    return decision;
  }

  RunReport report() const override {
    RunReport report;
    report.active = drops_live_ || drops_kept_;
    if (drops_live_) report.selection_layer = schedule_.live->layer;
    report.scores = chosen_by_.to_host();
    if (!report.active) report.reason = reason();
    return report;
  }

 private:
  // Whether a layer whose cache may be cut is in the schedule.
  bool cuts_any(const PromptInfo& prompt) const {
    for (int layer = schedule_.first_layer; layer < prompt.layers; ++layer) {
      if (sees_whole_prompt(prompt, layer)) return true;
    }
    return false;
  }

  // The first of the last layers up to the drop that have scores.
  void find_history(const PromptInfo& prompt) {
    int left = schedule_.history;
    for (int layer = schedule_.live->layer; layer >= 0 && left > 0; --layer) {
      if (!sees_whole_prompt(prompt, layer)) continue;
      history_from_ = layer;
      --left;
    }
  }

  // Protected tokens and the window are kept whatever the budget.
  int64_t raised(int64_t budget) const {
    return std::min(tokens_, std::max(budget, schedule_.window + protected_));
  }

  std::string reason() const {
    if (tokens_ <= schedule_.window)
      return fmt::format("the prompt's {} tokens fit the window of {}", group_digits(tokens_),
                         group_digits(schedule_.window));
    if (live_budget_ < tokens_ || kept_budget_ < tokens_)
      return "every layer of this model is outside the method's schedule: see first_layer";
    return keeps_all_reason(live_budget_);
  }

  PerLayer schedule_;
  int64_t tokens_, protected_, kept_budget_, live_budget_;
  bool drops_live_ = false, drops_kept_ = false;
  int history_from_ = 0;
  std::vector<Scores> history_;
  Scores chosen_by_;
};

}  // namespace

std::unique_ptr<Run> make_run(const PromptInfo& prompt, PerLayer schedule) {
  return std::make_unique<PerLayerRun>(prompt, std::move(schedule));
}

}  // namespace claa
