#include "claa/chosen_heads.h"

#include "claa/heads.h"
#include "core/check.h"

namespace claa {
namespace {

// The weighted sum of the chosen heads' window attention, each divided by its own sum over the prompt.
class HeadsRanker : public Ranker {
 public:
  HeadsRanker(const SelectionParams& params, std::vector<LayerHead> heads)
      : spec_(params.score_spec()), heads_(std::move(heads)) {
    spec_.group = Reduce::kKeep;
    spec_.heads = Reduce::kKeep;  // combine() adds them; apart they show whether they agree
    spec_.normalize_heads = true;
  }
  Scores rank(LayerView& view) override {
    spec_.only = heads_of_layer(heads_, view.layer());
    return spec_.only.empty() ? Scores() : view.scores(spec_);
  }
  Scores combine(LayerView& view, std::span<const Scores> layers) override {
    return view.aggregate(layers, Aggregator::kSum);
  }
  Scores rank_drafted(LayerView& view, int64_t fed) override {
    ScoreSpec spec = spec_;
    spec.window = fed;
    spec.only = heads_of_layer(heads_, view.layer());
    return spec.only.empty() ? Scores() : view.scores(spec);
  }

 private:
  ScoreSpec spec_;
  std::vector<LayerHead> heads_;
};

}  // namespace

void check_text(std::string_view owner, const ChosenHeads& chosen) {
  parse_heads(owner, chosen.heads);
  parse_heads(owner, chosen.early_heads);
  parse_early_drops(owner, chosen.early_drops);
}

void check_together(std::string_view owner, const ChosenHeads& chosen) {
  const char* needs_heads = !chosen.heads.empty()       ? ""
                            : chosen.mass > 0           ? "mass"
                            : chosen.min_confidence > 0 ? "min_confidence"
                            : chosen.look_ahead > 0     ? "look_ahead"
                                                        : "";
  if (*needs_heads != 0) {
    fail(ErrorCode::kInvalidArgument,
         "{}: {} needs heads that are chosen; use a profile with heads or leave it out", owner, needs_heads);
  }
  if (chosen.heads.empty() && !chosen.early_drops.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: early_drops needs heads, which choose what is dropped; give heads, or a profile with heads",
         owner);
  }
  if (chosen.look_ahead > 0 && !chosen.early_drops.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: look_ahead {} needs layers that hold the whole prompt, early_drops '{}' takes it from them; "
         "leave out one of them",
         owner, chosen.look_ahead, chosen.early_drops);
  }
}

std::unique_ptr<Run> make_run(std::string_view owner, const PromptInfo& prompt, int layer,
                              const SelectionParams& params, const ChosenHeads& chosen) {
  std::vector<LayerHead> heads = parse_heads(owner, chosen.heads);
  std::vector<LayerHead> early_heads = parse_heads(owner, chosen.early_heads);
  const std::vector<EarlyDrop> early = parse_early_drops(owner, chosen.early_drops);
  check_early_drops(owner, early, early_heads.empty() ? heads : early_heads, layer);
  check_heads(owner, heads, prompt.layers, prompt.heads, layer);
  check_heads(owner, early_heads, prompt.layers, prompt.heads, layer);
  for (const std::vector<LayerHead>* list : {&heads, &early_heads}) {
    for (const LayerHead& head : *list) check_sees_whole_prompt(prompt, head.layer);
  }

  const bool own_early = !early_heads.empty();
  std::shared_ptr<Ranker> ranker = std::make_shared<HeadsRanker>(params, std::move(heads));
  std::shared_ptr<Ranker> early_ranker =
      own_early ? std::make_shared<HeadsRanker>(params, std::move(early_heads)) : ranker;
  if (chosen.look_ahead > 0) {
    ranker = look_ahead_ranker(std::move(ranker), chosen.look_ahead, {chosen.look_ahead_keep, 0},
                               params.live_budget(), params.window);
  }
  OneRanking schedule{.window = params.window,
                      .first_layer = static_cast<int>(params.first_layer),
                      .kept = params.kept_budget()};
  for (const EarlyDrop& drop : early) schedule.drops.push_back({drop.layer, {drop.rate, 0}, early_ranker});
  schedule.drops.push_back({layer, params.live_budget(), std::move(ranker)});
  if (chosen.mass > 0) schedule.policies.push_back(budget_by_mass(chosen.mass, chosen.mass_floor));
  if (chosen.min_confidence > 0)
    schedule.policies.push_back(budget_by_confidence(chosen.min_confidence, chosen.unsure_keep));
  return make_run(prompt, std::move(schedule));
}

}  // namespace claa
