// Statistics against numpy and scipy (tools/make_statistics_goldens.py), and cases that those do not cover.
#include "eval/stats/statistics.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "claa/error.h"
#include "core/usize.h"
#include "paths.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

constexpr double kTolerance = 1e-9;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

const json::object& goldens() {
  static const json::value data = [] {
    std::ifstream file(test_data("eval/statistics.json"));
    std::ostringstream text;
    text << file.rdbuf();
    return json::parse(text.str());
  }();
  return data.as_object();
}

template <typename T>
std::vector<T> numbers(const json::value& values) {
  std::vector<T> result;
  for (const json::value& value : values.as_array()) {
    result.push_back(value.is_null() ? static_cast<T>(kNaN) : static_cast<T>(value.to_number<double>()));
  }
  return result;
}

double number(const json::value& value) {
  return value.is_null() ? kNaN : value.to_number<double>();
}

void expect_near(double actual, double expected, const std::string& what) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(actual)) << what << " is " << actual;
  } else {
    EXPECT_NEAR(actual, expected, kTolerance) << what;
  }
}

TEST(Statistics, RankingsEqualScipy) {
  const json::array& cases = goldens().at("rankings").as_array();
  EXPECT_GE(cases.size(), 50u);
  for (const json::value& entry : cases) {
    const json::object& golden = entry.as_object();
    const std::string name(golden.at("name").as_string());
    const auto a = numbers<float>(golden.at("a"));
    const auto b = numbers<float>(golden.at("b"));
    const double expected = number(golden.at("spearman"));
    expect_near(spearman(a, b), expected, name);
    expect_near(spearman(b, a), expected, name + ", exchanged");
    expect_near(pearson(average_ranks(a), average_ranks(b)), expected, name + ", of ranks");
    const std::vector<int32_t> top_a = top_indices(a, top_tenth(static_cast<int64_t>(a.size())));
    const std::vector<int32_t> top_b = top_indices(b, top_tenth(static_cast<int64_t>(b.size())));
    EXPECT_EQ(top_a, numbers<int32_t>(golden.at("top_a"))) << name;
    expect_near(jaccard(top_a, top_b), number(golden.at("jaccard")), name + ", Jaccard");
    if (golden.contains("ranks_a")) {
      EXPECT_EQ(average_ranks(a), numbers<double>(golden.at("ranks_a"))) << name;
    }
  }
}

TEST(Statistics, MomentsEqualNumpy) {
  for (const json::value& entry : goldens().at("moments").as_array()) {
    const json::object& golden = entry.as_object();
    const Moments actual = moments(numbers<double>(golden.at("values")));
    EXPECT_EQ(actual.n, golden.at("n").to_number<int64_t>());
    expect_near(actual.mean, number(golden.at("mean")), "mean");
    expect_near(actual.standard_error, number(golden.at("standard_error")), "standard error");
  }
}

TEST(Statistics, DensitiesEqualScipy) {
  const std::vector<double> uniform(kDensityPoints, 1.0);
  for (const json::value& entry : goldens().at("densities").as_array()) {
    const json::object& golden = entry.as_object();
    const std::string name(golden.at("name").as_string());
    const std::vector<double> density = kernel_density(numbers<double>(golden.at("positions")));
    ASSERT_EQ(density.size(), usize(kDensityPoints));
    const auto expected = numbers<double>(golden.at("density"));
    const auto every = golden.at("every").to_number<size_t>();
    for (size_t i = 0; i < expected.size(); ++i) expect_near(density[i * every], expected[i], name);
    expect_near(mean_absolute_difference(density, uniform), number(golden.at("made_to_uniform")),
                name + ", MADE");
  }
}

TEST(Statistics, ExitsEqualNumpy) {
  for (const json::value& entry : goldens().at("exits").as_array()) {
    const json::object& golden = entry.as_object();
    EXPECT_EQ(adaptive_exit_layer(numbers<double>(golden.at("stability"))),
              golden.at("layer").to_number<int>())
        << json::serialize(entry);
  }
  EXPECT_EQ(adaptive_exit_layer({}), -1);
}

TEST(Statistics, InfiniteScoresRankAsTheExtremes) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {infinity, 1, -infinity, 2, infinity};
  EXPECT_EQ(average_ranks(values), (std::vector<double>{4.5, 2, 1, 3, 4.5}));
}

TEST(Statistics, ScoresThatAreNotNumbersGiveNoCorrelationAndAreNeverBest) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> holes = {1, nan, 3, nan, 2};
  EXPECT_TRUE(std::isnan(spearman(holes, holes)));
  EXPECT_EQ(top_indices(holes, 3), (std::vector<int32_t>{0, 2, 4}));
  EXPECT_EQ(top_indices(holes, 4), (std::vector<int32_t>{0, 1, 2, 4}));
  EXPECT_EQ(top_indices(holes, 99).size(), 5u);
  EXPECT_TRUE(top_indices(holes, 0).empty());
  EXPECT_TRUE(top_indices(holes, -1).empty());
}

TEST(Statistics, TopTenthRoundsUp) {
  EXPECT_EQ(top_tenth(0), 0);
  EXPECT_EQ(top_tenth(1), 1);
  EXPECT_EQ(top_tenth(10), 1);
  EXPECT_EQ(top_tenth(11), 2);
  EXPECT_EQ(top_tenth(30), 3);
}

TEST(Statistics, JaccardOfSets) {
  const std::vector<int32_t> none, some = {1, 2, 3}, others = {3, 4};
  EXPECT_TRUE(std::isnan(jaccard(none, none)));
  EXPECT_EQ(jaccard(none, some), 0);
  EXPECT_EQ(jaccard(some, some), 1);
  EXPECT_EQ(jaccard(some, others), .25);
}

TEST(Statistics, DensityOfNothingIsNotANumber) {
  EXPECT_TRUE(std::isnan(kernel_density({})[500]));
  EXPECT_TRUE(std::isnan(mean_absolute_difference({}, {})));
}

template <typename Function>
void expect_refusal(Function function, const std::string& part) {
  try {
    function();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Statistics, RefusesListsThatDoNotFit) {
  const std::vector<double> two = {1, 2}, three = {1, 2, 3};
  const std::vector<float> floats2 = {1, 2}, floats3 = {1, 2, 3};
  expect_refusal([&] { pearson(two, three); }, "2 and 3");
  expect_refusal([&] { spearman(floats3, floats2); }, "3 and 2");
  expect_refusal([&] { mean_absolute_difference(two, three); }, "2 and 3");
  expect_refusal([&] { kernel_density(two, 0); }, "bandwidth");
  expect_refusal([&] { kernel_density(two, .03, 1); }, "at least 2 points");
}

TEST(Recall, IsTheShareOfWhatIsWanted) {
  const std::vector<int32_t> wanted = {1, 3, 5, 9}, found = {0, 3, 4, 9, 12}, none;
  EXPECT_DOUBLE_EQ(recall(wanted, found), 0.5);
  EXPECT_DOUBLE_EQ(recall(wanted, wanted), 1.0);
  EXPECT_DOUBLE_EQ(recall(wanted, none), 0.0);
  EXPECT_TRUE(std::isnan(recall(none, found)));
}

TEST(Share, RoundsUp) {
  EXPECT_EQ(share(100, 0.2), 20);
  EXPECT_EQ(share(101, 0.2), 21);
  EXPECT_EQ(share(3, 0.05), 1);
}

}  // namespace
}  // namespace claa::eval
