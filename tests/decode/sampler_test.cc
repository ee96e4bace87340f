#include "decode/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "core/check.h"
#include "core/usize.h"

namespace claa {
namespace {

std::vector<float> random_logits(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> logits(count);
  for (float& logit : logits) logit = 2 * normal(random);
  return logits;
}

// Probabilities of the candidates that survive top-k, top-p and min-p, by the definitions; 0 for the rest.
std::vector<double> naive(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[usize(a)] > logits[usize(b)]; });
  if (params.top_k > 0) order.resize(std::min(order.size(), usize(params.top_k)));
  std::vector<double> weight(logits.size());
  double total = 0;
  for (const int32_t i : order) {
    total += weight[usize(i)] = std::exp(static_cast<double>(logits[usize(i)]) / params.temperature);
  }
  const double best = weight[usize(order[0])];
  double mass = 0, kept = 0;
  bool open = true;
  for (const int32_t i : order) {
    double& w = weight[usize(i)];
    open = open && (i == order[0] || (mass < params.top_p * total && w >= params.min_p * best));
    mass += w;
    open ? kept += w : w = 0;
  }
  for (double& w : weight) w /= kept;
  return weight;
}

void check_distribution(const SamplingParams& params) {
  const std::vector<float> logits = random_logits(40, 3);
  const std::vector<double> want = naive(logits, params);
  Sampler sampler(params);
  constexpr int kDraws = 20000;
  std::vector<int> counts(logits.size());
  for (int i = 0; i < kDraws; ++i) ++counts[usize(sampler.next(logits, {}))];
  for (size_t i = 0; i < want.size(); ++i) {
    const double expected = want[i] * kDraws;
    if (want[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " is cut off";
    } else {  // five standard deviations
      EXPECT_NEAR(counts[i], expected, 5 * std::sqrt(expected * (1 - want[i])) + 1) << "token " << i;
    }
  }
}

TEST(SamplerTest, GreedyTakesTheLowestIdOfEqualLogits) {
  Sampler greedy({});
  EXPECT_EQ(greedy.next(std::vector<float>{1, 3, 3, 2, 3}, {}), 1);
  EXPECT_EQ(greedy.next(std::vector<float>{-1, -1}, {}), 0);
  EXPECT_EQ(greedy.next(std::vector<float>{5}, {}), 0);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(greedy.next(std::vector<float>{-kInfinity, -100, -kInfinity}, {}), 1);
  EXPECT_THROW(greedy.next({}, {}), Error);
}

TEST(SamplerTest, Distributions) {
  SamplingParams params;
  params.temperature = 1;
  check_distribution(params);
  params.temperature = 0.5;
  check_distribution(params);
  params.temperature = 3;
  params.top_k = 5;
  check_distribution(params);
  params.top_k = 1000;
  check_distribution(params);
  params.top_p = 0.6;
  check_distribution(params);
  params.top_p = 0;  // the best one survives
  check_distribution(params);
  params.top_p = 1, params.min_p = 0.3;
  check_distribution(params);
  params.min_p = 1;
  check_distribution(params);
  params.top_k = 12, params.top_p = 0.8, params.min_p = 0.05;
  check_distribution(params);
}

TEST(SamplerTest, TopKOfOneIsGreedy) {
  SamplingParams params;
  params.temperature = 2, params.top_k = 1;
  Sampler sampler(params);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(sampler.next(std::vector<float>{1, 3, 3, 2}, {}), 1);
}

TEST(SamplerTest, SeedDecides) {
  SamplingParams params;
  params.temperature = 5, params.seed = 11;
  const std::vector<float> logits = random_logits(100, 1);
  const auto draws = [&](const SamplingParams& p) {
    Sampler sampler(p);
    std::vector<int32_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(sampler.next(logits, {}));
    return ids;
  };
  const std::vector<int32_t> first = draws(params);
  EXPECT_EQ(first, draws(params));
  EXPECT_GT(std::set<int32_t>(first.begin(), first.end()).size(), 10u);
  params.seed = 12;
  EXPECT_NE(first, draws(params));
}

TEST(SamplerTest, RepetitionPenalty) {
  SamplingParams params;
  params.repetition_penalty = 2;
  Sampler sampler(params);
  const std::vector<int32_t> seen = {1,  1, 1, 3,
                                     -5, 99};  // repeats count once; ids outside the vocabulary are ignored
  EXPECT_EQ(sampler.next(std::vector<float>{1.4f, 3, 1.6f, 0}, seen), 2) << "3 / 2 = 1.5, once";
  EXPECT_EQ(sampler.next(std::vector<float>{-1.5f, -1, -3, -0.9f}, seen), 0)
      << "negative logits are multiplied";
  EXPECT_EQ(sampler.next(std::vector<float>{1.4f, 3, 1.4f, 0}, {}), 1);
}

TEST(SamplerTest, ExtremeLogitsAreDrawnFrom) {
  SamplingParams params;
  params.temperature = 0.01;
  Sampler sampler(params);
  EXPECT_EQ(sampler.next(std::vector<float>{1e30f, -1e30f, 0}, {}), 0);
  EXPECT_EQ(sampler.next(std::vector<float>{-1e30f, -1e30f, -1e29f}, {}), 2);
}

TEST(SamplerTest, RefusesValuesOutOfRangeByName) {
  const auto message = [](auto change) -> std::string {
    SamplingParams params;
    change(params);
    try {
      check_sampling(params);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "accepted";
  };
  using P = SamplingParams;
  const auto starts = [](const std::string& text, const char* name) { return text.rfind(name, 0) == 0; };
  const double nan = std::nan("");
  EXPECT_TRUE(starts(message([](P& p) { p.temperature = -1; }), "temperature"));
  EXPECT_TRUE(starts(message([&](P& p) { p.temperature = nan; }), "temperature"));
  EXPECT_TRUE(starts(message([](P& p) { p.top_p = 1.1; }), "top_p"));
  EXPECT_TRUE(starts(message([](P& p) { p.min_p = -0.1; }), "min_p"));
  EXPECT_TRUE(starts(message([](P& p) { p.repetition_penalty = 0; }), "repetition_penalty"));
  EXPECT_TRUE(starts(message([](P& p) { p.top_k = -1; }), "top_k"));
  EXPECT_EQ(message([](P&) {}), "accepted");
}

}  // namespace
}  // namespace claa
