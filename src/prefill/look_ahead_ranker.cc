#include <algorithm>
#include <numeric>

#include "claa/ranker.h"
#include "core/usize.h"

namespace claa {
namespace {

class LookAheadRanker : public Ranker {
 public:
  LookAheadRanker(std::shared_ptr<Ranker> ranker, int64_t steps, Budget first, Budget most, int64_t window)
      : ranker_(std::move(ranker)), steps_(steps), first_(first), most_(most), window_(window) {}

  Scores rank(LayerView& view) override { return ranker_->rank(view); }
  Scores combine(LayerView& view, std::span<const Scores> layers) override {
    return ranker_->combine(view, layers);
  }
  Scores rank_drafted(LayerView& view, int64_t fed) override { return ranker_->rank_drafted(view, fed); }

  void add_observers(LayerView& view, std::vector<Scores>& layers) override {
    ranker_->add_observers(view, layers);
    const int64_t tokens = view.prompt().tokens;
    const int64_t budget = std::min(most_.of(tokens, window_), first_.of(tokens, window_));
    const KeepSet kept = view.top_k(ranker_->combine(view, layers), budget, window_);
    std::vector<float> heard(usize(view.live() - window_), 0.0f);
    view.draft(kept, steps_, [&](LayerView& past, int64_t fed) {
      const Scores scores = ranker_->rank_drafted(past, fed);
      if (!scores.empty()) add(scores.to_host(), usize(scores.tokens()), heard);
    });
    layers.push_back(view.put(heard));
  }

 private:
  // Adds each row's attention to the tokens before the window. What the row gives the window is spread over
  // these in proportion, so that its weight stays.
  static void add(const std::vector<float>& rows, size_t columns, std::vector<float>& heard) {
    for (auto row = rows.begin(); row != rows.end(); row += static_cast<int64_t>(columns)) {
      const auto window = row + static_cast<int64_t>(heard.size());
      const double ranked = std::accumulate(row, window, 0.0);
      const double weight = std::accumulate(window, row + static_cast<int64_t>(columns), ranked);
      const auto factor = static_cast<float>(ranked > 0 ? weight / ranked : 0);
      for (size_t t = 0; t < heard.size(); ++t) heard[t] += factor * row[static_cast<int64_t>(t)];
    }
  }

  std::shared_ptr<Ranker> ranker_;
  int64_t steps_;
  Budget first_, most_;
  int64_t window_;
};

}  // namespace

std::shared_ptr<Ranker> look_ahead_ranker(std::shared_ptr<Ranker> ranker, int64_t steps, Budget first,
                                          Budget most, int64_t window) {
  return std::make_shared<LookAheadRanker>(std::move(ranker), steps, first, most, window);
}

}  // namespace claa
