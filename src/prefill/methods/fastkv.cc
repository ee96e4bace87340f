// fastkv: at the selection layer only the tokens that this layer's window attends to most live on; each layer
// keeps cache entries as snapkv. Paper: FastKV, arXiv 2502.01068. Live score: this layer's pooled window
// attention, summed over all heads (spec.md 3).
//
// Differs from the published code:
// - average pooling by default, as in the comparison of arXiv 2602.16054;
// - budgets are at least the window.
#include "claa/ranker.h"

namespace claa {
namespace {

struct FastKvParams : SelectionParams {
  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    visit_kv(v);
    visit_scores(v);
    visit_selection(v);
  }
};

class FastKvRanker : public Ranker {
 public:
  explicit FastKvRanker(const FastKvParams& params) : spec_(params.score_spec()) {}
  Scores rank(LayerView& view) override { return view.scores(spec_); }
  Scores combine(LayerView& view, std::span<const Scores> layers) override {
    return view.aggregate(layers, Aggregator::kSumSingle);
  }

 private:
  ScoreSpec spec_;
};

std::unique_ptr<Run> start(const FastKvParams& params, const PromptInfo& prompt) {
  return make_run(prompt,
                  PerLayer{.window = params.window,
                           .first_layer = static_cast<int>(params.first_layer),
                           .kept = params.kept_budget(),
                           .ranker = std::make_shared<FastKvRanker>(params),
                           .live = Drop{params.selection_layer_of(prompt), params.live_budget(), {}}});
}

}  // namespace

void register_fastkv(MethodRegistry& registry) {
  add_method<FastKvParams>(registry, "fastkv", "tokens live on by one layer's scores, summed over heads",
                           "arXiv 2502.01068", start);
}

}  // namespace claa
