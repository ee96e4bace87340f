// streaming: a control. All tokens are computed; each layer keeps the first entries (attention sinks) and the
// most recent ones. Paper: StreamingLLM, arXiv 2309.17453; positions stay the original ones, as in the
// comparison of FastKV (spec.md 6).
#include <numeric>

#include "claa/ranker.h"
#include "core/usize.h"

namespace claa {
namespace {

struct StreamingParams : SelectionParams {
  int64_t sinks = 4;

  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    v.integer("sinks", sinks, 0, 4096, "first tokens that are always kept");
  }
};

class StreamingRun : public Run {
 public:
  StreamingRun(int64_t sinks, int64_t budget, const PromptInfo& prompt)
      : sinks_(std::min(sinks, budget - 1)),
        budget_(budget),
        tokens_(prompt.tokens),
        most_(std::min(tokens_, budget + protected_tokens(prompt))) {}
  Decision decide(LayerView& view) override {
    if (budget_ >= tokens_) return {};
    std::vector<int32_t> kept(usize(budget_));
    std::iota(kept.begin(), kept.end(), 0);
    std::iota(kept.begin() + sinks_, kept.end(), static_cast<int32_t>(tokens_ - budget_ + sinks_));
    return {.kept = view.keep(std::move(kept))};
  }
  std::optional<int64_t> most_kept(int /*layer*/) const override { return most_; }
  RunReport report() const override {
    RunReport report;
    report.active = budget_ < tokens_;
    if (!report.active) report.reason = keeps_all_reason(budget_);
    return report;
  }

 private:
  int64_t sinks_, budget_, tokens_, most_;
};

std::unique_ptr<Run> start(const StreamingParams& params, const PromptInfo& prompt) {
  const int64_t budget = params.live_budget().of(prompt.tokens, params.kFewest);
  return std::make_unique<StreamingRun>(params.sinks, budget, prompt);
}

}  // namespace

void register_streaming(MethodRegistry& registry) {
  add_method<StreamingParams>(registry, "streaming",
                              "all tokens computed; the cache keeps the first and the last ones",
                              "arXiv 2309.17453", start);
}

}  // namespace claa
