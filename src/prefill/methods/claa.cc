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
#include "claa/chosen_heads.h"
#include "claa/ranker.h"

namespace claa {
namespace {

constexpr std::string_view kAggregators[] = {"raw_max", "zscore_max", "rank_sum", "sum", "sum_single"};
constexpr std::string_view kHeadFolds[] = {"max", "sum"};

struct ClaaParams : SelectionParams, ChosenHeads {
  int64_t last_layers = 4;
  std::string aggregator = "raw_max";
  std::string head_fold = "max";
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
    visit_heads(v);
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

// The published rule: every layer's cache by its own scores, live tokens by the last layers'.
std::unique_ptr<Run> start_published(const ClaaParams& params, const PromptInfo& prompt, int layer) {
  return make_run(prompt, PerLayer{.window = params.window,
                                   .first_layer = static_cast<int>(params.first_layer),
                                   .kept = params.kept_budget(),
                                   .ranker = std::make_shared<ClaaRanker>(params),
                                   .live = Drop{layer, params.live_budget(), {}},
                                   .history = params.last_layers > 0 ? static_cast<int>(params.last_layers)
                                                                     : prompt.layers});
}

// Messages begin with it: the program's name alone would stand there twice on the command line.
constexpr const char* kOwner = "method claa";

std::unique_ptr<Run> start(const ClaaParams& params, const PromptInfo& prompt) {
  const int layer = params.selection_layer_of(prompt);
  check_together(kOwner, params);
  return params.heads.empty() ? start_published(params, prompt, layer)
                              : make_run(kOwner, prompt, layer, params, params);
}

}  // namespace

void register_claa(MethodRegistry& registry) {
  const auto create = [](const ParamValues& values) -> std::unique_ptr<Method> {
    const auto params = read_params<ClaaParams>(kOwner, values);
    check_text(kOwner, params);
    return std::make_unique<SimpleMethod<ClaaParams>>("claa", params, start);
  };
  registry.add({"claa", "tokens live on by the maximum over the last layers and heads", "arXiv 2602.16054",
                list_params<ClaaParams>(), create});
}

}  // namespace claa
