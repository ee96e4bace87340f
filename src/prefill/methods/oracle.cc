// oracle: tokens live on, and cache entries are kept, by the Answer-Informed Oracle's ranking: the attention
// that a full prefill's own answer pays to the prompt (spec.md 8). It shows what a perfect ranking would
// keep; it saves no time unless the ranking comes from a file of `claa oracle`.
//
// Differs from the published code:
// - after the selection layer the ranking is looked up by prompt position, not by index among the survivors.
#include <limits>

#include "claa/ranker.h"
#include "claa/ranking.h"
#include "core/usize.h"

namespace claa {
namespace {

struct OracleParams : SelectionParams {
  std::string ranking;
  int64_t answer_tokens = 64;

  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    visit_kv(v);
    visit_selection(v);
    v.integer("window", window, 1, 4096, "last prompt tokens that are always kept");
    v.text("ranking", ranking, "file of `claa oracle` for this prompt; empty: the model answers first");
    v.integer("answer_tokens", answer_tokens, 1, 65536, "longest answer to rank by, without a file");
    v.integer("kernel", kernel, 1, 4095, "width of the average pooling of the ranking, without a file");
  }
  OracleParams() { kernel = 13; }
};

// Scores from the ranking instead of from the layer.
class RankingRanker : public Ranker {
 public:
  explicit RankingRanker(int64_t window) : window_(window) {}
  void set(std::vector<float> scores) { scores_ = std::move(scores); }
  Scores rank(LayerView& view) override {
    std::vector<float> values;
    const auto before = view.positions().first(usize(view.live() - window_));
    for (const int32_t position : before) values.push_back(scores_[usize(position)]);
    return view.put(values);
  }
  Scores combine(LayerView& /*view*/, std::span<const Scores> layers) override { return layers.back(); }

 private:
  int64_t window_;
  std::vector<float> scores_;
};

// A plain run whose ranking, read or made, is there before the first layer.
class OracleRun : public Run {
 public:
  OracleRun(const OracleParams& params, const PromptInfo& prompt) : params_(params), prompt_(prompt) {
    ranker_ = std::make_shared<RankingRanker>(params.window);
    run_ =
        make_run(prompt, PerLayer{.window = params.window,
                                  .first_layer = static_cast<int>(params.first_layer),
                                  .kept = params.kept_budget(),
                                  .ranker = ranker_,
                                  .live = Drop{params.selection_layer_of(prompt), params.live_budget(), {}}});
  }

  std::optional<PreviewSpec> preview_spec() const override {
    if (!params_.ranking.empty() || !run_->report().active) return std::nullopt;
    LookAheadSpec spec;
    spec.steps = params_.answer_tokens - 1;  // the last token of an answer is never fed
    spec.kernel = params_.kernel;
    spec.pool_first = spec.drafter = false;
    return PreviewSpec{.look_ahead = spec};
  }
  Entry entry(std::vector<float> look_ahead) override {
    if (!params_.ranking.empty()) {
      Ranking ranking = read_ranking(params_.ranking);
      check_ranking(ranking, prompt_, params_.ranking);
      ranker_->set(std::move(ranking.scores));
    } else {
      ranker_->set(std::move(look_ahead));
    }
    return {};
  }
  std::optional<int> first_drop() const override { return run_->first_drop(); }
  bool may_drop(int layer) const override { return run_->may_drop(layer); }
  std::optional<int64_t> most_kept(int layer) const override { return run_->most_kept(layer); }
  int64_t window() const override { return run_->window(); }
  Decision decide(LayerView& view) override { return run_->decide(view); }
  RunReport report() const override { return run_->report(); }

 private:
  OracleParams params_;
  PromptInfo prompt_;
  std::shared_ptr<RankingRanker> ranker_;
  std::unique_ptr<Run> run_;
};

std::unique_ptr<Run> start(const OracleParams& params, const PromptInfo& prompt) {
  return std::make_unique<OracleRun>(params, prompt);
}

}  // namespace

void register_oracle(MethodRegistry& registry) {
  add_method<OracleParams>(registry, "oracle",
                           "tokens live on by the attention of the model's own full answer",
                           "arXiv 2602.16054", start);
}

}  // namespace claa
