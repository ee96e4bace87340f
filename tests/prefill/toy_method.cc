// toy: a newcomer's first try. Tokens live on, and are kept, by how strongly the last query of the first
// query head looks at them. It shows that a method needs one file and one header.
#include "claa/ranker.h"

namespace claa {
namespace {

struct ToyParams : SelectionParams {
  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    visit_selection(v);
  }
};

class ToyRanker : public Ranker {
 public:
  explicit ToyRanker(int64_t window) {
    spec_.window = window;
    spec_.rows = Reduce::kMax;
    spec_.only = {{0, 1.0f}};
    spec_.group = Reduce::kKeep;
    spec_.heads = Reduce::kSum;
  }
  Scores rank(LayerView& view) override { return view.scores(spec_); }
  Scores combine(LayerView& /*view*/, std::span<const Scores> layers) override { return layers.back(); }

 private:
  ScoreSpec spec_;
};

std::unique_ptr<Run> start(const ToyParams& params, const PromptInfo& prompt) {
  return make_run(prompt, PerLayer{.window = params.window,
                                   .kept = params.live_budget(),
                                   .ranker = std::make_shared<ToyRanker>(params.window),
                                   .live = Drop{params.selection_layer_of(prompt), params.live_budget()}});
}

}  // namespace

void register_toy(MethodRegistry& registry) {
  add_method<ToyParams>(registry, "toy", "tokens live on by one head's attention", "-", start);
}

}  // namespace claa
