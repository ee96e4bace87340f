// RoPE frequencies and tables against the formulas of the papers, written out again.
#include "model/rope.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace claa {
namespace {

RopeConfig base_config(int64_t rotated, double base) {
  RopeConfig rope;
  rope.rotated = rotated;
  rope.base = base;
  return rope;
}

TEST(RopeFrequencies, Plain) {
  const std::vector<double> frequencies = rope_frequencies(base_config(8, 10000));
  ASSERT_EQ(frequencies.size(), 4u);
  const double want[] = {1, 0.1, 0.01, 0.001};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(frequencies[i], want[i], 1e-15);
  EXPECT_EQ(rope_magnitude(base_config(8, 10000)), 1);
}

TEST(RopeFrequencies, LinearDividesEveryFrequency) {
  RopeConfig rope = base_config(8, 10000);
  rope.scaling = RopeScaling::kLinear;
  rope.factor = 4;
  const std::vector<double> frequencies = rope_frequencies(rope);
  EXPECT_NEAR(frequencies[0], 0.25, 1e-15);
  EXPECT_NEAR(frequencies[3], 0.00025, 1e-15);
  EXPECT_EQ(rope_magnitude(rope), 1);
}

TEST(RopeFrequencies, FactorsOfLlama3Divide) {
  RopeConfig rope = base_config(4, 100);
  rope.frequency_factors = {1, 8};
  const std::vector<double> frequencies = rope_frequencies(rope);
  EXPECT_NEAR(frequencies[0], 1, 1e-15);
  EXPECT_NEAR(frequencies[1], 0.1 / 8, 1e-15);
}

// arXiv 2309.00071: pairs that turn more than beta_fast times in the original context stay, those that turn
// less than beta_slow times are interpolated, a linear ramp over the (rounded) pair index between.
TEST(RopeFrequencies, Yarn) {
  RopeConfig rope = base_config(128, 10000);
  rope.scaling = RopeScaling::kYarn;
  rope.factor = 16;
  rope.original_context = 4096;
  const std::vector<double> frequencies = rope_frequencies(rope);
  const auto pair_of = [](double turns) {
    return 128 * std::log(4096 / (turns * 2 * std::numbers::pi)) / (2 * std::log(10000.0));
  };
  const double low = std::floor(pair_of(32)), high = std::ceil(pair_of(1));
  EXPECT_EQ(low, 20);
  EXPECT_EQ(high, 46);
  for (size_t i = 0; i < 64; ++i) {
    const double plain = std::pow(10000.0, -static_cast<double>(i) / 64);
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    EXPECT_NEAR(frequencies[i] / plain, (1 - ramp) + ramp / 16, 1e-12) << i;
  }
  EXPECT_NEAR(rope_magnitude(rope), 0.1 * std::log(16.0) + 1, 1e-12);
}

TEST(RopeFrequencies, YarnAtItsLimits) {
  RopeConfig rope = base_config(16, 10000);
  rope.scaling = RopeScaling::kYarn;
  rope.factor = 2;
  rope.original_context = 4;  // even the fastest pair turns less than once: everything is interpolated
  const std::vector<double> short_context = rope_frequencies(rope);
  EXPECT_NEAR(short_context[7], std::pow(10000.0, -7.0 / 8) / 2, 1e-12);
  rope.original_context = 1e12;  // even the slowest turns often: nothing is
  const std::vector<double> long_context = rope_frequencies(rope);
  EXPECT_NEAR(long_context[7], std::pow(10000.0, -7.0 / 8), 1e-12);
}

// Phi's two sets of divisors, chosen by the length of the prompt.
TEST(RopeFrequencies, LongPromptsHaveDivisorsOfTheirOwn) {
  RopeConfig rope = base_config(4, 10000);
  rope.scaling = RopeScaling::kLong;
  rope.original_context = 100;
  rope.attention_factor = 1.25;
  rope.frequency_factors = {1, 2};
  rope.long_factors = {4, 8};
  EXPECT_FALSE(turns_long(rope, 100));
  EXPECT_TRUE(turns_long(rope, 101));
  EXPECT_NEAR(rope_frequencies(rope, 100)[1], 0.01 / 2, 1e-15);
  EXPECT_NEAR(rope_frequencies(rope, 101)[1], 0.01 / 8, 1e-15);
  EXPECT_EQ(rope_magnitude(rope), 1.25);
}

// One model's tables of both kinds live side by side, and each kind grows by itself.
TEST(RopeCacheTest, KeepsTablesOfShortAndLongPromptsApart) {
  const auto backend = make_backend({"reference", DType::kF32, 1, ""});
  RopeConfig rope = base_config(2, 10000);
  rope.original_context = 10;
  rope.frequency_factors = {1};
  rope.long_factors = {4};
  RopeCache cache;
  const auto sine = [&](int64_t positions, int64_t tokens) {
    return (*cache.tables({&rope, 1}, positions, tokens, *backend))[0].sin.ptr<float>(0, 1)[0];
  };
  EXPECT_NEAR(sine(5, 10), std::sin(1.0), 1e-7);
  EXPECT_NEAR(sine(20, 11), std::sin(0.25), 1e-7);
  EXPECT_NEAR(sine(5, 10), std::sin(1.0), 1e-7);
  const auto longer = cache.tables({&rope, 1}, 30, 11, *backend);
  EXPECT_EQ(cache.tables({&rope, 1}, 12, 11, *backend), longer);
  EXPECT_EQ(cache.tables({&rope, 1}, 5, 10, *backend)->positions, 5);
}

// Mistral 3's queries: one more span of the original context, one more logarithm.
TEST(RopeTablesTest, TemperatureGrowsBySpansOfTheOriginalContext) {
  const auto backend = make_backend({"reference", DType::kF32, 1, ""});
  RopeConfig rope = base_config(2, 10000);
  rope.original_context = 8;
  rope.temperature_scale = 0.5;
  const RopeTables tables = make_rope_tables({&rope, 1}, 24, 0, *backend);
  for (const auto& [position, spans] : {std::pair{0, 0}, {7, 0}, {8, 1}, {15, 1}, {16, 2}}) {
    const double c = tables[0].cos.ptr<float>(0, position)[0], s = tables[0].sin.ptr<float>(0, position)[0];
    EXPECT_NEAR(std::hypot(c, s), 1 + 0.5 * std::log(1.0 + spans), 1e-6) << position;
  }
}

TEST(RopeTablesTest, CosAndSinOfEveryPosition) {
  const auto backend = make_backend({"reference", DType::kF32, 1, ""});
  RopeConfig rope = base_config(6, 500);
  rope.interleaved = false;
  const RopeTables tables = make_rope_tables({&rope, 1}, 1000, 0, *backend);
  EXPECT_EQ(tables.positions, 1000);
  EXPECT_FALSE(tables[0].interleaved);
  EXPECT_EQ(tables[0].cos.rows(), 1000);
  EXPECT_EQ(tables[0].cos.columns(), 3);
  for (const int64_t p : {0, 1, 17, 999}) {
    for (int64_t i = 0; i < 3; ++i) {
      const double angle = static_cast<double>(p) * std::pow(500.0, -static_cast<double>(i) / 3);
      EXPECT_NEAR(tables[0].cos.ptr<float>(0, p)[i], std::cos(angle), 1e-7);
      EXPECT_NEAR(tables[0].sin.ptr<float>(0, p)[i], std::sin(angle), 1e-7);
    }
  }
}

TEST(RopeTablesTest, YarnScalesBothByItsTemperature) {
  const auto backend = make_backend({"reference", DType::kF32, 1, ""});
  RopeConfig rope = base_config(4, 10000);
  rope.scaling = RopeScaling::kYarn;
  rope.factor = 8;
  rope.original_context = 64;
  const RopeTables tables = make_rope_tables({&rope, 1}, 3, 0, *backend);
  const double magnitude = 0.1 * std::log(8.0) + 1;
  EXPECT_NEAR(tables[0].cos.ptr<float>(0, 0)[0], magnitude, 1e-6);
  for (int64_t i = 0; i < 2; ++i) {
    const double c = tables[0].cos.ptr<float>(0, 2)[i], s = tables[0].sin.ptr<float>(0, 2)[i];
    EXPECT_NEAR(std::hypot(c, s), magnitude, 1e-6);
  }
}

}  // namespace
}  // namespace claa
