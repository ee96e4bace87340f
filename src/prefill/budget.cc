#include "claa/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/counts.h"
#include "core/usize.h"
#include "prefill/confidence.h"

namespace claa {

int64_t Budget::of(int64_t tokens, int64_t window) const {
  const int64_t wanted =
      keep_tokens > 0 ? keep_tokens : static_cast<int64_t>(std::floor(static_cast<double>(tokens) * keep));
  return std::min(std::max(wanted, window), tokens);
}

std::vector<int32_t> best_indices(std::span<const float> scores, int64_t count) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  count = std::clamp<int64_t>(count, 0, static_cast<int64_t>(order.size()));
  std::nth_element(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
    const float x = scores[usize(a)], y = scores[usize(b)];
    return x > y || (x == y && a < b);
  });
  order.resize(usize(count));
  std::sort(order.begin(), order.end());
  return order;
}

namespace {

class ByMass : public BudgetPolicy {
 public:
  ByMass(double mass, double floor) : mass_(mass), floor_{floor, 0} {}
  Budgets choose(const RankedPrompt& ranked, Budgets planned, PolicyReport& /*report*/) const override {
    const int64_t wanted = std::max(floor_.of(ranked.tokens, ranked.window),
                                    tokens_of_mass(ranked.ranking.to_host(), mass_) + ranked.window);
    return {std::min(planned.live, wanted), std::min(planned.kept, wanted)};
  }

 private:
  double mass_;
  Budget floor_;
};

class ByConfidence : public BudgetPolicy {
 public:
  ByConfidence(double least, double unsure_keep) : least_(least), unsure_{unsure_keep, 0} {}
  Budgets choose(const RankedPrompt& ranked, Budgets planned, PolicyReport& report) const override {
    const int64_t chosen = std::min(ranked.drops_live ? planned.live : planned.kept, ranked.live);
    report.signals = ranking_signals(rows_of(ranked.observers), chosen - ranked.window);
    if (report.signals->confidence >= least_) return planned;
    const int64_t raised = unsure_.of(ranked.tokens, ranked.window);
    planned = {std::max(planned.live, raised), std::max(planned.kept, raised)};
    report.note =
        fmt::format("the ranking's confidence of {:.2f} is below min_confidence {:g}: {} tokens kept",
                    report.signals->confidence, least_, group_digits(std::min(planned.live, ranked.live)));
    return planned;
  }
  int64_t most(int64_t planned, int64_t tokens, int64_t window) const override {
    return std::max(planned, unsure_.of(tokens, window));
  }

 private:
  // One row per head; layers before an early drop are already merged into one row.
  static std::vector<std::vector<float>> rows_of(std::span<const Scores> observers) {
    std::vector<std::vector<float>> rows;
    for (const Scores& scores : observers) {
      const std::vector<float> values = scores.to_host();
      for (auto row = values.begin(); row != values.end(); row += scores.tokens())
        rows.emplace_back(row, row + scores.tokens());
    }
    return rows;
  }

  double least_;
  Budget unsure_;
};

}  // namespace

std::unique_ptr<BudgetPolicy> budget_by_mass(double mass, double floor) {
  return std::make_unique<ByMass>(mass, floor);
}

std::unique_ptr<BudgetPolicy> budget_by_confidence(double least, double unsure_keep) {
  return std::make_unique<ByConfidence>(least, unsure_keep);
}

}  // namespace claa
