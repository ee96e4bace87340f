// Intervals against theory, pairing, and the meaning of strata.
#include "eval/stats/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>

namespace claa::eval {
namespace {

using Strata = std::vector<std::vector<double>>;

TEST(Bootstrap, QuantilesAreThoseOfNumpy) {
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, .5), 2.5);
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, .025), 1.075);
  EXPECT_DOUBLE_EQ(quantile({7}, .975), 7);
  EXPECT_TRUE(std::isnan(quantile({}, .5)));
}

// The reference values of SplitMix64 with seed 1234567.
TEST(Bootstrap, RandomNumbersAreThoseOfSplitMix) {
  RandomIndex random(1234567);
  EXPECT_EQ(random.next(), 6457827717110365317u);
  EXPECT_EQ(random.next(), 3203168211198807973u);
  EXPECT_EQ(random.next(), 9817491932198370423u);
  for (int i = 0; i < 1000; ++i) EXPECT_LT(random.below(3), 3u);
}

TEST(Bootstrap, IntervalOfAShareIsTheBinomialOne) {
  std::vector<double> values(400, 0);
  for (size_t i = 0; i < 100; ++i) values[i] = 1;
  const Estimate estimate = bootstrap(Strata{values});
  EXPECT_DOUBLE_EQ(estimate.mean, .25);
  EXPECT_EQ(estimate.n, 400);
  const double half = 1.96 * std::sqrt(.25 * .75 / 400);
  EXPECT_NEAR(estimate.low, .25 - half, .006);
  EXPECT_NEAR(estimate.high, .25 + half, .006);
}

TEST(Bootstrap, TasksWeighTheSameHoweverManyExamples) {
  const Estimate estimate = bootstrap(Strata{{0, 0, 0, 0, 0, 0}, {1}, {}});
  EXPECT_DOUBLE_EQ(estimate.mean, .5);
  EXPECT_DOUBLE_EQ(estimate.low, .5) << "within a task of equal values nothing varies";
  EXPECT_DOUBLE_EQ(estimate.high, .5);
  EXPECT_EQ(estimate.n, 7);
}

TEST(Bootstrap, NothingHasNoMean) {
  EXPECT_TRUE(std::isnan(bootstrap(Strata{}).mean));
  EXPECT_EQ(bootstrap(Strata{{}, {}}).n, 0);
}

TEST(Bootstrap, IsTheSameEveryTime) {
  const Strata strata{{.1, .7, .3, .9}, {.2, .4}};
  const Estimate a = bootstrap(strata), b = bootstrap(strata);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  EXPECT_NE(bootstrap(strata, kResamples, 1).low, bootstrap(strata, 50, 2).low);
}

}  // namespace
}  // namespace claa::eval
