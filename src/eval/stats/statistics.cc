#include "eval/stats/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "core/check.h"
#include "core/usize.h"

namespace claa::eval {
namespace {

constexpr size_t kExitWindow = 3;
constexpr double kExitThreshold = .99;

void check_equal_sizes(const char* what, size_t a, size_t b) {
  if (a != b) {
    fail(ErrorCode::kInvalidArgument, "{} needs two lists of the same length, but they have {} and {} values",
         what, a, b);
  }
}

bool is_constant(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [&](double value) { return value == values[0]; });
}

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::vector<int32_t> indices_below(size_t size) {
  if (size > usize(std::numeric_limits<int32_t>::max())) {
    fail(ErrorCode::kInvalidArgument, "a ranking of {} values is too long: at most {} are supported", size,
         std::numeric_limits<int32_t>::max());
  }
  std::vector<int32_t> indices(size);
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

}  // namespace

std::vector<double> average_ranks(std::span<const float> values) {
  const size_t n = values.size();
  std::vector<double> ranks(n, kNaN);
  if (std::any_of(values.begin(), values.end(), [](float value) { return std::isnan(value); })) return ranks;
  std::vector<int32_t> order = indices_below(n);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return values[a] < values[b]; });
  for (size_t begin = 0; begin < n;) {
    size_t end = begin + 1;
    while (end < n && values[order[end]] == values[order[begin]]) ++end;
    // The mean of the ranks begin + 1 ... end.
    const double rank = (static_cast<double>(begin) + 1.0 + static_cast<double>(end)) / 2.0;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = rank;
    begin = end;
  }
  return ranks;
}

double pearson(std::span<const double> a, std::span<const double> b) {
  check_equal_sizes("a correlation", a.size(), b.size());
  if (a.size() < 2 || is_constant(a) || is_constant(b)) return kNaN;
  const double mean_a = mean_of(a);
  const double mean_b = mean_of(b);
  double square_a = 0, square_b = 0, product = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i] - mean_a;
    const double y = b[i] - mean_b;
    square_a += x * x;
    square_b += y * y;
    product += x * y;
  }
  // Two roots, because the product of the squares could overflow. Rounding may lead just beyond 1, and NaN
  // must stay NaN.
  const double correlation = product / (std::sqrt(square_a) * std::sqrt(square_b));
  return std::isnan(correlation) ? kNaN : std::clamp(correlation, -1.0, 1.0);
}

double spearman(std::span<const float> a, std::span<const float> b) {
  check_equal_sizes("a rank correlation", a.size(), b.size());
  return pearson(average_ranks(a), average_ranks(b));
}

std::vector<int32_t> top_indices(std::span<const float> scores, int64_t count) {
  std::vector<int32_t> indices = indices_below(scores.size());
  const auto kept = usize(std::clamp<int64_t>(count, 0, static_cast<int64_t>(scores.size())));
  const auto better = [&](int32_t a, int32_t b) {
    const bool nan_a = std::isnan(scores[a]);
    const bool nan_b = std::isnan(scores[b]);
    if (nan_a != nan_b) return nan_b;
    if (!nan_a && scores[a] != scores[b]) return scores[a] > scores[b];
    return a < b;
  };
  if (kept < indices.size()) std::nth_element(indices.begin(), indices.begin() + kept, indices.end(), better);
  indices.resize(kept);
  std::sort(indices.begin(), indices.end());
  return indices;
}

namespace {

// |intersection| of two sets, each ascending and without duplicates.
size_t count_common(std::span<const int32_t> a, std::span<const int32_t> b) {
  size_t common = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i] == b[j]) ++common;
    const bool advance_a = a[i] <= b[j];
    const bool advance_b = b[j] <= a[i];
    i += advance_a;
    j += advance_b;
  }
  return common;
}

}  // namespace

int64_t share(int64_t tokens, double rate) {
  return static_cast<int64_t>(std::ceil(rate * static_cast<double>(tokens)));
}

double recall(std::span<const int32_t> wanted, std::span<const int32_t> found) {
  return wanted.empty()
             ? kNaN
             : static_cast<double>(count_common(wanted, found)) / static_cast<double>(wanted.size());
}

double jaccard(std::span<const int32_t> a, std::span<const int32_t> b) {
  if (a.empty() && b.empty()) return kNaN;
  const size_t common = count_common(a, b);
  return static_cast<double>(common) / static_cast<double>(a.size() + b.size() - common);
}

Moments moments(std::span<const double> values) {
  Moments result;
  double sum = 0;
  for (double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++result.n;
  }
  const auto n = static_cast<double>(result.n);
  result.mean = result.n > 0 ? sum / n : kNaN;
  if (result.n < 2) return result;
  double squares = 0;
  for (double value : values) {
    if (!std::isnan(value)) squares += (value - result.mean) * (value - result.mean);
  }
  result.standard_error = std::sqrt(squares / (n - 1.0)) / std::sqrt(n);
  return result;
}

std::vector<double> kernel_density(std::span<const double> positions, double bandwidth, int64_t points) {
  if (!(bandwidth > 0) || points < 2) {
    fail(ErrorCode::kInvalidArgument,
         "a density needs a bandwidth above 0 and at least 2 points, but they are {} and {}", bandwidth,
         points);
  }
  std::vector<double> density(usize(points), kNaN);
  if (positions.empty()) return density;
  const double scale =
      1.0 / (static_cast<double>(positions.size()) * bandwidth * std::sqrt(2.0 * std::numbers::pi));
  for (int64_t i = 0; i < points; ++i) {
    const double place = static_cast<double>(i) / static_cast<double>(points - 1);
    double sum = 0;
    for (double position : positions) {
      const double z = (place - position) / bandwidth;
      sum += std::exp(-.5 * z * z);
    }
    density[i] = sum * scale;
  }
  return density;
}

double mean_absolute_difference(std::span<const double> a, std::span<const double> b) {
  check_equal_sizes("the mean absolute difference", a.size(), b.size());
  if (a.empty()) return kNaN;
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::fabs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

int adaptive_exit_layer(std::span<const double> stability) {
  for (size_t last = kExitWindow; last < stability.size(); ++last) {
    // A NaN in the window makes the mean NaN, which is not >= the threshold.
    if (mean_of(stability.subspan(last - kExitWindow + 1, kExitWindow)) >= kExitThreshold) {
      return static_cast<int>(last);
    }
  }
  return static_cast<int>(stability.size()) - 1;
}

}  // namespace claa::eval
