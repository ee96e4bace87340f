// gemfilter: a partial pass up to one layer ranks the prompt's tokens by the last query; the best ones are
// then a shorter prompt of their own, with new positions. Paper: GemFilter, arXiv 2409.17422. Score of token
// j: sum over the query heads of q_last k_j, neither scaled nor put through a softmax, average-pooled
// (spec.md 4).
//
// Differs from the published code:
// - the pass stops before the attention of its last layer;
// - the answer's length and every end-of-generation token are honoured;
// - budgets are at least 8 tokens.
#include "claa/ranker.h"

namespace claa {
namespace {

struct GemFilterParams : SelectionParams {
  GemFilterParams() { kernel = 5; }

  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    v.integer("kernel", kernel, 1, 4095, "width of the average pooling along the prompt");
    v.integer("selection_layer", selection_layer, -1, 4096,
              "layer whose last query ranks the tokens, from 0; -1: the layer at half depth");
  }
};

ScoreSpec score_spec(const GemFilterParams& params) {
  ScoreSpec spec;
  spec.window = 1;
  spec.softmax = spec.scale = spec.drop_window = false;
  spec.kernel = params.kernel;
  spec.heads = Reduce::kSum;
  return spec;
}

EntryChoice choose(std::vector<float> scores, int64_t budget) {
  EntryChoice choice;
  choice.entry.tokens = best_indices(scores, budget);
  choice.entry.renumber = true;
  choice.scores = std::move(scores);
  return choice;
}

std::unique_ptr<Run> start(const GemFilterParams& params, const PromptInfo& prompt) {
  EntryRun run;
  run.budget = params.live_budget().of(prompt.tokens, params.kFewest);
  run.preview = PreviewSpec{.last_layer = params.selection_layer_of(prompt)};
  run.rank = [spec = score_spec(params)](LayerView& view) { return view.scores(spec); };
  run.choose = [budget = run.budget](std::vector<float> scores) { return choose(std::move(scores), budget); };
  return make_run(prompt, std::move(run));
}

}  // namespace

void register_gemfilter(MethodRegistry& registry) {
  add_method<GemFilterParams>(registry, "gemfilter",
                              "a partial pass picks tokens by the last query; they start anew, renumbered",
                              "arXiv 2409.17422", start);
}

}  // namespace claa
