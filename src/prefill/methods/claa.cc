// claa: Cross-Layer Attention Aggregation, arXiv 2602.16054. At the selection layer a token lives on if any
// KV head of any of the last n layers ranks it high: its score is the maximum of their pooled window
// attention. Each layer from m on keeps cache entries by its own scores, per KV head (spec.md 2).
//
// Differs from the published code:
// - raw maximum by default, as the paper says, z-score on request;
// - `head_fold` = sum adds a layer's KV heads before layers are combined, for the control of the paper's
//   claim (spec.md 12);
// - probabilities stay f32, and ties go to the lower index;
// - budgets are at least the window;
// - a prompt no longer than the cache budget may still drop live tokens.
//
// With chosen heads, which the paper does not have (spec.md 7, docs/calibration.md): only these score, each
// one's pooled window attention divided by its sum over the prompt; their weighted sum over all layers up to
// the selection layer is the one ranking that chooses live tokens and, from first_layer on, every layer's
// cache entries. early_drops lets part of the tokens go before, by the heads of the layers so far. look_ahead
// lets tokens drafted from a first choice observe as well, and chooses again.
#include <fmt/format.h>

#include "claa/heads.h"
#include "claa/ranker.h"

namespace claa {
namespace {

constexpr std::string_view kAggregators[] = {"raw_max", "zscore_max", "rank_sum", "sum", "sum_single"};
constexpr std::string_view kHeadFolds[] = {"max", "sum"};

struct ClaaParams : SelectionParams {
  int64_t last_layers = 4;
  std::string aggregator = "raw_max";
  std::string head_fold = "max";
  std::string heads;
  std::string early_drops, early_heads;
  double mass = 0, mass_floor = 0.1;
  double min_confidence = 0, unsure_keep = 1;
  int64_t look_ahead = 0;
  double look_ahead_keep = 0.1;
  ClaaParams() { first_layer = 4; }

  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    visit_kv(v);
    visit_scores(v);
    visit_selection(v);
    v.integer("last_layers", last_layers, 0, 4096,
              "layers up to the selection layer whose scores are aggregated (the paper's n); 0: all");
    v.choice("aggregator", aggregator, kAggregators, "how layers and heads are combined");
    v.choice("head_fold", head_fold, kHeadFolds,
             "a layer's KV heads: max: by the aggregator; sum: added before it");
    v.text("heads", heads,
           "query heads that choose, as layer.head*weight separated by commas, instead of last_layers and "
           "aggregator; empty: all");
    v.text("early_drops", early_drops,
           "with heads: rates of the prompt that live on after layers before the selection layer, as "
           "layer:rate separated by commas");
    v.text("early_heads", early_heads, "query heads that choose at the early drops; empty: heads");
    v.number("mass", mass, 0, 1,
             "with heads: keep the fewest tokens with this share of the ranking's sum, and at most keep; 0: "
             "always keep");
    v.number("mass_floor", mass_floor, 0.0001, 1, "rate that mass never goes below");
    v.number("min_confidence", min_confidence, 0, 1,
             "with heads: where the ranking's confidence is lower, unsure_keep is kept; 0: never");
    v.number("unsure_keep", unsure_keep, 0.0001, 1,
             "rate to keep, if it is more than keep, below min_confidence; 1: drop nothing there");
    v.integer("look_ahead", look_ahead, 0, kMostLookAhead,
              "with heads: tokens of a drafted answer that observe the prompt too before the final choice");
    v.number("look_ahead_keep", look_ahead_keep, 0.0001, 1,
             "rate to keep while they are drafted, at most keep");
  }
};

Aggregator parse_aggregator(const std::string& name) {
  if (name == "zscore_max") return Aggregator::kZscoreMax;
  if (name == "rank_sum") return Aggregator::kRankSum;
  if (name == "sum") return Aggregator::kSum;
  if (name == "sum_single") return Aggregator::kSumSingle;
  return Aggregator::kRawMax;
}

class ClaaRanker : public Ranker {
 public:
  explicit ClaaRanker(const ClaaParams& params)
      : spec_(params.score_spec()),
        aggregator_(parse_aggregator(params.aggregator)),
        sum_heads_(params.head_fold == "sum") {}
  Scores rank(LayerView& view) override { return view.scores(spec_); }
  Scores combine(LayerView& view, std::span<const Scores> layers) override {
    if (!sum_heads_) return view.aggregate(layers, aggregator_);
    std::vector<Scores> sums;
    for (const Scores& layer : layers) sums.push_back(view.aggregate({&layer, 1}, Aggregator::kSumSingle));
    return view.aggregate(sums, aggregator_);
  }

 private:
  ScoreSpec spec_;
  Aggregator aggregator_;
  bool sum_heads_;
};

class HeadsRanker : public Ranker {
 public:
  HeadsRanker(const ClaaParams& params, std::vector<LayerHead> heads)
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
  Scores look_ahead(LayerView& view, int64_t fed) override {
    ScoreSpec spec = spec_;
    spec.window = fed;
    spec.only = heads_of_layer(heads_, view.layer());
    return spec.only.empty() ? Scores() : view.scores(spec);
  }

 private:
  ScoreSpec spec_;
  std::vector<LayerHead> heads_;
};

// Refuses what does not go together.
void check_needs(const ClaaParams& params) {
  const char* needs_heads = params.mass > 0             ? "mass"
                            : params.min_confidence > 0 ? "min_confidence"
                            : params.look_ahead > 0     ? "look_ahead"
                                                        : "";
  if (params.heads.empty() && *needs_heads != 0) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("claa: {} needs heads that are chosen; use a profile with heads or leave it out",
                            needs_heads));
  }
  if (params.look_ahead > 0 && !params.early_drops.empty()) {
    throw Error(
        ErrorCode::kInvalidArgument,
        fmt::format("claa: look_ahead {} needs layers that hold the whole prompt, early_drops '{}' takes "
                    "it from them; leave out one of them",
                    params.look_ahead, params.early_drops));
  }
}

std::unique_ptr<Run> start(const ClaaParams& params, const PromptInfo& prompt) {
  RankSchedule schedule;
  schedule.selection_layer = params.selection_layer_of(prompt);
  schedule.first_layer = static_cast<int>(params.first_layer);
  schedule.history = params.last_layers > 0 ? static_cast<int>(params.last_layers) : prompt.layers;
  schedule.window = params.window;
  schedule.live = params.live_budget();
  schedule.kept = params.kept_budget();
  std::vector<LayerHead> heads = parse_heads("claa", params.heads);
  schedule.early = parse_early_drops("claa", params.early_drops);
  std::vector<LayerHead> early_heads = parse_heads("claa", params.early_heads);
  check_early_drops("claa", schedule.early, heads.empty() || early_heads.empty() ? heads : early_heads,
                    schedule.selection_layer);
  schedule.mass = params.mass;
  schedule.mass_floor = params.mass_floor;
  schedule.min_confidence = params.min_confidence;
  schedule.unsure_keep = params.unsure_keep;
  schedule.look_ahead = params.look_ahead;
  schedule.draft = {params.look_ahead_keep, 0};
  check_needs(params);
  if (!heads.empty()) {
    check_heads("claa", heads, prompt.layers, prompt.heads, schedule.selection_layer);
    check_heads("claa", early_heads, prompt.layers, prompt.heads, schedule.selection_layer);
    schedule.one_ranking = true;
    std::unique_ptr<Ranker> early;
    if (!schedule.early.empty() && !early_heads.empty())
      early = std::make_unique<HeadsRanker>(params, std::move(early_heads));
    return make_ranked_run(prompt, schedule, std::make_unique<HeadsRanker>(params, std::move(heads)),
                           std::move(early));
  }
  return make_ranked_run(prompt, schedule, std::make_unique<ClaaRanker>(params));
}

}  // namespace

void register_claa(MethodRegistry& registry) {
  const auto create = [](const ParamValues& values) -> std::unique_ptr<Method> {
    const auto params = read_params<ClaaParams>("claa", values);
    // Refused before there is a model.
    parse_heads("claa", params.heads);
    parse_heads("claa", params.early_heads);
    parse_early_drops("claa", params.early_drops);
    return std::make_unique<SimpleMethod<ClaaParams>>("claa", params, start);
  };
  registry.add({"claa", "tokens live on by the maximum over the last layers and heads", "arXiv 2602.16054",
                list_params<ClaaParams>(), create});
}

}  // namespace claa
