// A ranking idea of one's own, outside the project: tokens live on by what any single head of the last query
// attends to. ranker MODEL.gguf DOCUMENT.txt "QUESTION"
#include <claa/engine.h>
#include <claa/ranker.h>

#include <fstream>
#include <iostream>
#include <iterator>

struct Params : claa::SelectionParams {
  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    visit_scores(v);
    visit_selection(v);
  }
};

class LastQuery : public claa::Ranker {
 public:
  explicit LastQuery(const Params& params) : spec_(params.score_spec()) {
    spec_.rows = spec_.group = claa::Reduce::kMax;
  }
  claa::Scores rank(claa::LayerView& view) override { return view.scores(spec_); }
  claa::Scores combine(claa::LayerView& view, std::span<const claa::Scores> layers) override {
    return view.aggregate(layers, claa::Aggregator::kRawMax);
  }

 private:
  claa::ScoreSpec spec_;
};

std::unique_ptr<claa::Run> start(const Params& params, const claa::PromptInfo& prompt) {
  return claa::make_run(
      prompt, claa::PerLayer{.window = params.window,
                             .kept = params.live_budget(),
                             .ranker = std::make_shared<LastQuery>(params),
                             .live = claa::Drop{params.selection_layer_of(prompt), params.live_budget()}});
}

int main(int argc, char** argv) try {
  if (argc != 4) {
    std::cerr << "usage: ranker MODEL.gguf DOCUMENT.txt QUESTION\n";
    return 2;
  }
  claa::Engine engine = claa::Engine::load(argv[1]);
  claa::add_method<Params>(engine.methods(), "last_query", "any head of the last query", "-", start);
  std::ifstream document(argv[2]);
  claa::Request request;
  request.prompt.assign(std::istreambuf_iterator<char>(document), {});
  request.prompt += std::string("\n\n") + argv[3];
  request.method = "last_query";
  request.params = {{"keep", "0.3"}, {"window", "16"}};
  request.max_tokens = 24;
  const claa::Answer answer = engine.answer(request);
  std::cout << answer.text << "\n";
  std::cerr << "kept " << answer.kept_tokens << " of " << answer.prompt_tokens << " tokens\n";
} catch (const claa::Error& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
