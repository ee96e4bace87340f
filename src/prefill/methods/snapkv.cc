// snapkv: all tokens are computed; each layer keeps, per KV head, the cache entries that the window attends
// to most. Paper: SnapKV, arXiv 2404.14469. Score of entry j: sum over the window of softmax(q k /
// sqrt(d))_j, pooled along the prompt, summed over the query heads of a KV head (spec.md 2.2, 6).
//
// Differs from the published code:
// - sets are per KV head, not per query head;
// - the budget may be a rate of the prompt.
#include "claa/ranker.h"

namespace claa {
namespace {

struct SnapKvParams : SelectionParams {
  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    visit_scores(v);
    v.integer("first_layer", first_layer, 0, 4096, "layers below it keep their whole cache");
  }
};

class SnapKvRanker : public Ranker {
 public:
  explicit SnapKvRanker(const SnapKvParams& params) : spec_(params.score_spec()) {}
  Scores rank(LayerView& view) override { return view.scores(spec_); }
  Scores combine(LayerView& view, std::span<const Scores> layers) override {
    return view.aggregate(layers, Aggregator::kSumSingle);
  }

 private:
  ScoreSpec spec_;
};

std::unique_ptr<Run> start(const SnapKvParams& params, const PromptInfo& prompt) {
  return make_run(prompt, PerLayer{.window = params.window,
                                   .first_layer = static_cast<int>(params.first_layer),
                                   .kept = params.live_budget(),
                                   .ranker = std::make_shared<SnapKvRanker>(params)});
}

}  // namespace

void register_snapkv(MethodRegistry& registry) {
  add_method<SnapKvParams>(registry, "snapkv",
                           "all tokens computed; cache entries kept by the window's attention",
                           "arXiv 2404.14469", start);
}

}  // namespace claa
