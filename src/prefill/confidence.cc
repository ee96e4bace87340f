#include "prefill/confidence.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <numeric>

#include "core/usize.h"

namespace claa {
namespace {

std::vector<double> sum_of(std::span<const std::vector<float>> rows) {
  std::vector<double> sum(rows.front().size(), 0.0);
  for (const std::vector<float>& row : rows) {
    for (size_t t = 0; t < sum.size(); ++t) sum[t] += static_cast<double>(row[t]);
  }
  return sum;
}

// The entropy of a distribution over tokens, as a share of the largest possible.
double entropy_of(const std::vector<double>& sum, double total) {
  if (sum.size() < 2) return 0;
  double nats = 0;
  for (const double value : sum) {
    if (value > 0) nats -= value / total * std::log(value / total);
  }
  return std::clamp(nats / std::log(static_cast<double>(sum.size())), 0.0, 1.0);
}

// Share of the ascending `best` that are also among as many of the row's own best.
double agreement_of(const std::vector<float>& row, const std::vector<int32_t>& best) {
  const std::vector<int32_t> own = best_indices(row, static_cast<int64_t>(best.size()));
  std::vector<int32_t> both;
  std::set_intersection(own.begin(), own.end(), best.begin(), best.end(), std::back_inserter(both));
  return static_cast<double>(both.size()) / static_cast<double>(best.size());
}

}  // namespace

RankingSignals ranking_signals(std::span<const std::vector<float>> rows, int64_t chosen) {
  if (rows.empty() || rows.front().empty() || chosen < 1) return {0, 0, 1, 1};
  const std::vector<double> sum = sum_of(rows);
  const std::vector<float> ranking(sum.begin(), sum.end());
  const double total = std::accumulate(sum.begin(), sum.end(), 0.0);
  if (!(total > 0)) return {1, 1, 0, 0};
  double inside = 0;
  for (const int32_t t : best_indices(ranking, chosen)) inside += sum[usize(t)];
  RankingSignals signals;
  signals.outside = std::clamp(1 - inside / total, 0.0, 1.0);
  signals.entropy = entropy_of(sum, total);
  const auto twentieth = std::max<int64_t>(1, static_cast<int64_t>(sum.size()) / 20);
  const std::vector<int32_t> best = best_indices(ranking, twentieth);
  for (const std::vector<float>& row : rows)
    signals.agreement += agreement_of(row, best) / static_cast<double>(rows.size());
  signals.confidence = signals.agreement;
  return signals;
}

int64_t tokens_of_mass(std::span<const float> scores, double mass) {
  std::vector<float> sorted(scores.begin(), scores.end());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const double wanted = mass * std::accumulate(sorted.begin(), sorted.end(), 0.0);
  double sum = 0;
  int64_t count = 0;
  for (auto score = sorted.begin(); score != sorted.end() && sum < wanted; ++score, ++count)
    sum += static_cast<double>(*score);
  return count;
}

}  // namespace claa
