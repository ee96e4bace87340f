// The plain run in which one ranking chooses the live tokens and every layer's cache.
#include <algorithm>

#include "claa/ranker.h"
#include "core/check.h"
#include "core/counts.h"
#include "core/usize.h"

namespace claa {
namespace {

// A ranker and its scores so far. Several drops may share it.
struct Voice {
  std::shared_ptr<Ranker> ranker;
  int last_layer = 0;  // of its drops
  std::vector<Scores> layers;
};

class OneRankingRun : public Run {
 public:
  OneRankingRun(const PromptInfo& prompt, OneRanking schedule);

  std::optional<int> first_drop() const override {
    return drops_live_ ? std::optional(schedule_.drops.front().layer) : std::nullopt;
  }
  bool may_drop(int layer) const override { return drops_live_ && drop_at(layer) != nullptr; }
  std::optional<int64_t> most_kept(int layer) const override;
  int64_t window() const override { return schedule_.window; }
  Decision decide(LayerView& view) override;
  RunReport report() const override;

 private:
  const Drop& last() const { return schedule_.drops.back(); }
  const Drop* drop_at(int layer) const;
  Voice& voice_of(const Drop& drop);
  int64_t raised(int64_t budget) const;
  int64_t most_live(int layer) const;

  Decision choose(LayerView& view, bool compress);
  void ask_policies(int64_t live);
  KeepSet drop_early(LayerView& view, const Drop& drop);
  Decision look_up(LayerView& view, bool compress);
  Scores scores_at(LayerView& view, const Scores& scores, const std::vector<int32_t>& live) const;
  std::vector<float> prompt_scores() const;
  std::string reason() const;

  OneRanking schedule_;
  int64_t tokens_, protected_;
  Budgets budgets_;
  int waits_from_;  // layers from here to the last drop learn there what they keep
  bool drops_live_ = false, drops_kept_ = false;
  std::vector<Voice> voices_;
  Scores chosen_by_;
  std::vector<int32_t> ranked_;  // prompt positions of its tokens, after early drops; empty: from 0 on
  Scores later_;                 // chosen_by_ at the tokens that live on
  PolicyReport policy_;
  std::string early_note_;
};

OneRankingRun::OneRankingRun(const PromptInfo& prompt, OneRanking schedule)
    : schedule_(std::move(schedule)), tokens_(prompt.tokens), protected_(protected_tokens(prompt)) {
  const std::vector<Drop>& drops = schedule_.drops;
  require(!drops.empty(), "one ranking needs a drop");
  for (size_t i = 0; i < drops.size(); ++i) {
    require(drops[i].ranker != nullptr, "a drop needs a ranker");
    require(i == 0 || drops[i].layer > drops[i - 1].layer, "drops must rise");
    check_drop(prompt, drops[i].layer, drops[i].budget.of(tokens_, schedule_.window), schedule_.window);
    Voice& voice = voice_of(drops[i]);
    voice.last_layer = drops[i].layer;
  }
  budgets_ = {last().budget.of(tokens_, schedule_.window), schedule_.kept.of(tokens_, schedule_.window)};
  // After the last layer nothing is left to save.
  drops_live_ = last().layer < prompt.layers - 1 && budgets_.live < tokens_;
  drops_kept_ = budgets_.kept < tokens_ && schedule_.first_layer < prompt.layers;
  waits_from_ = schedule_.first_layer;
  if (drops.size() > 1) waits_from_ = std::max(waits_from_, drops[drops.size() - 2].layer + 1);
}

const Drop* OneRankingRun::drop_at(int layer) const {
  for (const Drop& drop : schedule_.drops) {
    if (drop.layer == layer) return &drop;
  }
  return nullptr;
}

Voice& OneRankingRun::voice_of(const Drop& drop) {
  for (Voice& voice : voices_) {
    if (voice.ranker == drop.ranker) return voice;
  }
  return voices_.emplace_back(Voice{drop.ranker, drop.layer, {}});
}

// Protected tokens and the window are kept whatever the budget.
int64_t OneRankingRun::raised(int64_t budget) const {
  for (const auto& policy : schedule_.policies) budget = policy->most(budget, tokens_, schedule_.window);
  return std::min(tokens_, std::max(budget, schedule_.window + protected_));
}

int64_t OneRankingRun::most_live(int layer) const {
  int64_t live = tokens_;
  if (!drops_live_) return live;
  for (const Drop& drop : schedule_.drops) {
    // An early drop never goes below what the last one wants to choose from.
    const int64_t budget = std::max(drop.budget.of(tokens_, schedule_.window), budgets_.live);
    if (layer > drop.layer) live = std::min(live, raised(budget));
  }
  return live;
}

std::optional<int64_t> OneRankingRun::most_kept(int layer) const {
  const bool cut = drops_kept_ && layer >= schedule_.first_layer && layer > last().layer;
  return cut ? std::min(most_live(layer), raised(budgets_.kept)) : most_live(layer);
}

// Up to the last drop scores are gathered, there they choose, and later they are looked up.
Decision OneRankingRun::decide(LayerView& view) {
  const int layer = view.layer();
  Decision decision;
  // After an early drop only the window may be left: nothing remains to be ranked or dropped.
  if ((!drops_live_ && !drops_kept_) || view.live() <= schedule_.window) return decision;
  const bool compress = drops_kept_ && layer >= schedule_.first_layer && view.live() > budgets_.kept;
  if (layer > last().layer) return look_up(view, compress);
  for (Voice& voice : voices_) {
    // Without drops of live tokens only the last drop's ranker is heard: it cuts the caches.
    if (layer > voice.last_layer || (!drops_live_ && voice.ranker != last().ranker)) continue;
    if (Scores scores = voice.ranker->rank(view); !scores.empty()) voice.layers.push_back(std::move(scores));
  }
  if (layer == last().layer) return choose(view, compress);
  if (layer >= waits_from_) decision.kept = std::nullopt;
  if (const Drop* drop = drop_at(layer); drop != nullptr && drops_live_)
    decision.live = drop_early(view, *drop);
  return decision;
}

Decision OneRankingRun::choose(LayerView& view, bool compress) {
  Voice& voice = voice_of(last());
  if (drops_live_) voice.ranker->add_observers(view, voice.layers);
  chosen_by_ = voice.ranker->combine(view, voice.layers);
  ask_policies(view.live());
  voices_.clear();
  if (view.live() < tokens_) ranked_.assign(view.positions().begin(), view.positions().end());
  Decision decision;
  if (drops_live_) decision.live = view.top_k(chosen_by_, budgets_.live, schedule_.window);
  if (compress && view.live() > budgets_.kept)
    decision.kept = view.top_k(chosen_by_, budgets_.kept, schedule_.window);
  return decision;
}

void OneRankingRun::ask_policies(int64_t live) {
  const RankedPrompt ranked{tokens_,    live, schedule_.window, chosen_by_, voice_of(last()).layers,
                            drops_live_};
  for (const auto& policy : schedule_.policies) budgets_ = policy->choose(ranked, budgets_, policy_);
  // Tokens dropped early cannot return.
  const bool dropped = live < tokens_;
  drops_live_ = drops_live_ && (dropped || budgets_.live < live);
  drops_kept_ = drops_kept_ && (dropped || budgets_.kept < live);
}

// Drops by the scores so far; those of the tokens that live on are merged into one row.
KeepSet OneRankingRun::drop_early(LayerView& view, const Drop& drop) {
  for (Voice& voice : voices_) {
    if (!voice.layers.empty()) voice.layers = {voice.ranker->combine(view, voice.layers)};
  }
  require(!voice_of(drop).layers.empty(), "an early drop needs a layer that was scored");
  // Never below what the last drop wants to choose from.
  const int64_t budget = std::max(drop.budget.of(tokens_, schedule_.window), budgets_.live);
  KeepSet live = view.top_k(voice_of(drop).layers.front(), budget, schedule_.window);
  if (live.all()) return live;
  const std::vector<int32_t> indices = live.to_host();
  early_note_ += fmt::format("{}{} tokens left after layer {}", early_note_.empty() ? "" : ", ",
                             group_digits(indices.size()), view.layer());
  for (Voice& voice : voices_) {
    if (!voice.layers.empty()) voice.layers.front() = scores_at(view, voice.layers.front(), indices);
  }
  return live;
}

// The scores of the tokens before the window that live on. Empty when only the window does; then no layer
// asks for them.
Scores OneRankingRun::scores_at(LayerView& view, const Scores& scores,
                                const std::vector<int32_t>& live) const {
  const std::vector<float> all = scores.to_host();
  std::vector<float> values;
  for (const int32_t index : std::span(live).first(live.size() - usize(schedule_.window)))
    values.push_back(all[usize(index)]);
  return values.empty() ? Scores() : view.put(values);
}

Decision OneRankingRun::look_up(LayerView& view, bool compress) {
  Decision decision;
  if (!compress) return decision;
  if (later_.empty()) {  // the live tokens stay the same from here on
    const std::vector<float> all = prompt_scores();
    std::vector<float> values;
    for (const int32_t position : view.positions().first(usize(view.live() - schedule_.window)))
      values.push_back(all[usize(position)]);
    later_ = view.put(values);
  }
  decision.kept = view.top_k(later_, budgets_.kept, schedule_.window);
  return decision;
}

// The ranking, one score per prompt token before the window. Tokens that were dropped early have no part in
// it and stand at 0, below which no score falls.
std::vector<float> OneRankingRun::prompt_scores() const {
  std::vector<float> scores = chosen_by_.to_host();
  if (ranked_.empty()) return scores;
  std::vector<float> all(usize(tokens_ - schedule_.window), 0.0f);
  for (size_t i = 0; i < scores.size(); ++i) all[usize(ranked_[i])] = scores[i];
  return all;
}

RunReport OneRankingRun::report() const {
  RunReport report;
  report.active = drops_live_ || drops_kept_;
  if (drops_live_) report.selection_layer = last().layer;
  report.scores = prompt_scores();
  if (!report.active) report.reason = reason();
  report.signals = policy_.signals;
  report.note = policy_.note + (policy_.note.empty() || early_note_.empty() ? "" : ", ") + early_note_;
  return report;
}

std::string OneRankingRun::reason() const {
  if (!policy_.note.empty()) return policy_.note;
  if (tokens_ <= schedule_.window)
    return fmt::format("the prompt's {} tokens fit the window of {}", group_digits(tokens_),
                       group_digits(schedule_.window));
  if (budgets_.live < tokens_ || budgets_.kept < tokens_)
    return "every layer of this model is outside the method's schedule: see first_layer";
  return keeps_all_reason(budgets_.live);
}

}  // namespace

std::unique_ptr<Run> make_run(const PromptInfo& prompt, OneRanking schedule) {
  return std::make_unique<OneRankingRun>(prompt, std::move(schedule));
}

}  // namespace claa
