// The numbers by which rankings are compared (spec.md 9.2). A score that is NaN has no rank, and every value
// that depends on it is NaN.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace claa::eval {

// The value of a statistic that has no data.
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Rank of every value, from 1; ties share the mean of their ranks, as scipy.stats.rankdata gives them. All
// NaN when one value is NaN.
std::vector<double> average_ranks(std::span<const float> values);

// Correlation of two lists of one length. NaN for fewer than two values, a constant list or a NaN in either.
// On ranks it is Spearman's; use this form when one ranking is compared with many.
double pearson(std::span<const double> a, std::span<const double> b);

// Spearman's rank correlation with ties, as scipy.stats.spearmanr.
double spearman(std::span<const float> a, std::span<const float> b);

// Size of the "best 10 %" of n tokens: ceil(n / 10), computed in integers because ceil(0.1 * n) rounds up
// some exact n.
inline int64_t top_tenth(int64_t n) {
  return (n + 9) / 10;
}

// Indices of the `count` best scores (all when there are fewer), ascending. Equal scores: the lower index is
// better; NaN is worse than any number.
std::vector<int32_t> top_indices(std::span<const float> scores, int64_t count);

// ceil(rate * tokens).
int64_t share(int64_t tokens, double rate);

// Share of `wanted` that is in `found`; both ascending and without duplicates. NaN when nothing is wanted.
double recall(std::span<const int32_t> wanted, std::span<const int32_t> found);

// |intersection| / |union| of two sets, each ascending and without duplicates. NaN when both are empty.
double jaccard(std::span<const int32_t> a, std::span<const int32_t> b);

struct Moments {
  double mean = 0;            // NaN when n is 0
  double standard_error = 0;  // standard deviation (n - 1) / sqrt(n); 0 when n < 2
  int64_t n = 0;              // values that are not NaN
};
Moments moments(std::span<const double> values);

inline constexpr double kDensityBandwidth = 0.03;
inline constexpr int64_t kDensityPoints = 1000;

// Mean of normal densities of standard deviation `bandwidth` around `positions`, at `points` evenly spaced
// places of [0, 1], ends included. There is no correction at the ends, where mass falls outside. All NaN when
// there is no position.
std::vector<double> kernel_density(std::span<const double> positions, double bandwidth = kDensityBandwidth,
                                   int64_t points = kDensityPoints);

// MADE: mean of |a - b| over the grid.
double mean_absolute_difference(std::span<const double> a, std::span<const double> b);

// The layer at which the adaptive exit stops. stability[i] is the correlation of layer i with layer i - 1,
// NaN at layer 0. It is the last layer of the first window of three such correlations with mean >= .99; else
// the last layer; -1 without layers.
int adaptive_exit_layer(std::span<const double> stability);

}  // namespace claa::eval
