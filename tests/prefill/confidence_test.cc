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
  // Sum 3 3 2 2: the first two are chosen; the best of four tokens is the first, which one head does not
  // name.
  const Rows rows = {{1, 1, 0, 0}, {2, 0, 1, 0}, {0, 2, 1, 2}};
  const RankingSignals signals = ranking_signals(rows, 2);
  EXPECT_NEAR(signals.agreement, 2.0 / 3, 1e-12);
  EXPECT_NEAR(signals.outside, 0.4, 1e-12);

  // Among 40 tokens the best two count: the ranking's are 1 and 0, the heads' own {0, 1} and {1, 2}.
  Rows many(2, std::vector<float>(40, 0.0f));
  many[0][0] = 5, many[0][1] = 4, many[1][1] = 4, many[1][2] = 3;
  EXPECT_NEAR(ranking_signals(many, 30).agreement, 0.75, 1e-12);
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

TEST(TokensOfMass, AreTheFewest) {
  const std::vector<float> scores = {1, 4, 0, 3, 2};
  EXPECT_EQ(tokens_of_mass(scores, 0), 0);
  EXPECT_EQ(tokens_of_mass(scores, 0.4), 1);
  EXPECT_EQ(tokens_of_mass(scores, 0.41), 2);
  EXPECT_EQ(tokens_of_mass(scores, 0.7), 2);
  EXPECT_EQ(tokens_of_mass(scores, 1), 4);
  EXPECT_EQ(tokens_of_mass({}, 0.5), 0);
  EXPECT_EQ(tokens_of_mass(std::vector<float>{0, 0}, 0.5), 0);
}

}  // namespace
}  // namespace claa
