// Signals of a ranking on rows whose signals are known.
#include "prefill/confidence.h"

#include <gtest/gtest.h>

#include <cmath>

namespace claa {
namespace {

using Rows = std::vector<std::vector<float>>;

TEST(RankingSignals, OfHeadsThatAgree) {
  const Rows rows = {{0, 6, 2, 0}, {0, 4, 4, 0}};
  const RankingSignals signals = ranking_signals(rows, 2);
  EXPECT_EQ(signals.agreement, 1);
  EXPECT_EQ(signals.outside, 0);
  const double expected = -(10.0 / 16 * std::log(10.0 / 16) + 6.0 / 16 * std::log(6.0 / 16)) / std::log(4.0);
  EXPECT_NEAR(signals.entropy, expected, 1e-12);
}

TEST(RankingSignals, OfHeadsThatDisagree) {
  // Sum 3 3 2 2: the first two are chosen; the heads alone choose {0, 1}, {0, 2}, {1, 3}.
  const Rows rows = {{1, 1, 0, 0}, {2, 0, 1, 0}, {0, 2, 1, 2}};
  const RankingSignals signals = ranking_signals(rows, 2);
  EXPECT_NEAR(signals.agreement, (1 + 0.5 + 0.5) / 3, 1e-12);
  EXPECT_NEAR(signals.outside, 0.4, 1e-12);
}

TEST(RankingSignals, OfEqualScores) {
  const RankingSignals signals = ranking_signals(Rows{{1, 1, 1, 1}}, 1);
  EXPECT_NEAR(signals.entropy, 1, 1e-12);
  EXPECT_NEAR(signals.outside, 0.75, 1e-12);
}

TEST(RankingSignals, OfNothing) {
  EXPECT_EQ(ranking_signals({}, 3).confidence, 1);
  EXPECT_EQ(ranking_signals(Rows{{1, 2}}, 0).confidence, 1);
  const RankingSignals zeros = ranking_signals(Rows{{0, 0, 0}}, 1);
  EXPECT_EQ(zeros.confidence, 0);
  EXPECT_EQ(zeros.entropy, 1);
}

}  // namespace
}  // namespace claa
