#include "eval/stats/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/usize.h"
#include "eval/stats/statistics.h"

namespace claa::eval {
namespace {

double resampled_mean(const std::vector<double>& values, RandomIndex& random) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += values[random.below(values.size())];
  return sum / static_cast<double>(values.size());
}

}  // namespace

uint64_t RandomIndex::next() {
  uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return kNaN;
  std::sort(values.begin(), values.end());
  const double place = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (place - std::floor(place));
}

Estimate bootstrap(std::span<const std::vector<double>> strata, int64_t resamples, uint64_t seed) {
  std::vector<const std::vector<double>*> filled;
  for (const std::vector<double>& stratum : strata) {
    if (!stratum.empty()) filled.push_back(&stratum);
  }
  if (filled.empty()) return {kNaN, kNaN, kNaN, 0};
  Estimate estimate;
  for (const std::vector<double>* stratum : filled) {
    estimate.mean +=
        std::accumulate(stratum->begin(), stratum->end(), 0.0) / static_cast<double>(stratum->size());
    estimate.n += static_cast<int64_t>(stratum->size());
  }
  estimate.mean /= static_cast<double>(filled.size());
  RandomIndex random(seed);
  std::vector<double> means(usize(resamples));
  for (double& mean : means) {
    for (const std::vector<double>* stratum : filled) mean += resampled_mean(*stratum, random);
    mean /= static_cast<double>(filled.size());
  }
  estimate.low = quantile(means, .025);
  estimate.high = quantile(std::move(means), .975);
  return estimate;
}

}  // namespace claa::eval
