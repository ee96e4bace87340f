// Means of means with bootstrap intervals. The computation is our own and the same on every machine, so that
// two runs of one study agree to the last byte.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/usize.h"

namespace claa::eval {

inline constexpr int64_t kResamples = 2000;
inline constexpr uint64_t kBootstrapSeed = 20260216;

struct Estimate {
  double mean = 0;           // mean of the strata's means; NaN without values
  double low = 0, high = 0;  // 95 % percentile interval
  int64_t n = 0;             // number of values in all strata
};

// SplitMix64 (Steele, Lea, Flood 2014).
class RandomIndex {
 public:
  explicit RandomIndex(uint64_t seed) : state_(seed) {}
  uint64_t next();
  // Below `count`, which is below 2^32: the upper half of a product, whose bias is below 2^-32 of a value.
  size_t below(size_t count) { return usize(((next() >> 32) * count) >> 32); }

 private:
  uint64_t state_;
};

// `strata` holds the values of one task each; empty strata do not count. Every resample draws, in each
// stratum, as many values with replacement as it has, and takes the mean of the strata's means. The interval
// reaches from the 2.5 % to the 97.5 % quantile of the resamples, interpolated linearly between order
// statistics (as numpy.percentile). A paired difference is the estimate of the differences, example by
// example: the mean is linear, so resampling pairs and resampling differences are the same.
Estimate bootstrap(std::span<const std::vector<double>> strata, int64_t resamples = kResamples,
                   uint64_t seed = kBootstrapSeed);

// Interpolates linearly between order statistics; NaN without values.
double quantile(std::vector<double> values, double q);
inline double median(const std::vector<double>& values) {
  return quantile(values, .5);
}

}  // namespace claa::eval
