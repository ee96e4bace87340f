// PromptDiagnosis to JSON and back, and what is refused.
#include "eval/diagnosis/diagnosis.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "claa/error.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

PromptDiagnosis example() {
  PromptDiagnosis diagnosis;
  diagnosis.id = "qa \"1\"\n";
  diagnosis.group = "Über-group";
  diagnosis.task = "hotpotqa";
  diagnosis.tokens = 5'000'000'000;
  diagnosis.answer_tokens = 12;
  diagnosis.answer = "Paris,\tof course \\ <b>";
  diagnosis.fixed_layer = 2;
  diagnosis.heuristics = {{"fastkv", false, {.1, .25, 1. / 3}, {0, .5, 1}, {kNaN, .9, .99}, 2, {0, .5, 1}},
                          {"specprefill", true, {kNaN, kNaN, kNaN}, {}, {kNaN, 1, 1}, -1, {}}};
  diagnosis.oracle_positions = {.125, .75};
  diagnosis.head_recall = {{.2, .4}, {kNaN, 1}, {0, .1}};
  return diagnosis;
}

void expect_equal(const std::vector<double>& actual, const std::vector<double>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(actual[i]));
    } else {
      EXPECT_DOUBLE_EQ(actual[i], expected[i]);
    }
  }
}

TEST(Diagnosis, SurvivesItsJson) {
  const PromptDiagnosis expected = example();
  const PromptDiagnosis actual = diagnosis_from_json(json::parse(json::serialize(to_json(expected))));
  EXPECT_EQ(actual.id, expected.id);
  EXPECT_EQ(actual.group, expected.group);
  EXPECT_EQ(actual.task, expected.task);
  EXPECT_EQ(actual.tokens, expected.tokens);
  EXPECT_EQ(actual.answer_tokens, expected.answer_tokens);
  EXPECT_EQ(actual.answer, expected.answer);
  EXPECT_EQ(actual.fixed_layer, expected.fixed_layer);
  ASSERT_EQ(actual.heuristics.size(), expected.heuristics.size());
  for (size_t i = 0; i < actual.heuristics.size(); ++i) {
    const HeuristicCurve& a = actual.heuristics[i];
    const HeuristicCurve& b = expected.heuristics[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.horizontal, b.horizontal);
    EXPECT_EQ(a.exit_layer, b.exit_layer);
    expect_equal(a.spearman, b.spearman);
    expect_equal(a.jaccard, b.jaccard);
    expect_equal(a.stability, b.stability);
    expect_equal(a.positions, b.positions);
  }
  expect_equal(actual.oracle_positions, expected.oracle_positions);
  ASSERT_EQ(actual.head_recall.size(), expected.head_recall.size());
  for (size_t i = 0; i < actual.head_recall.size(); ++i)
    expect_equal(actual.head_recall[i], expected.head_recall[i]);
}

TEST(Diagnosis, WritesNullForWhatIsNoNumberAndMendsText) {
  PromptDiagnosis diagnosis = example();
  diagnosis.answer = "cut \xC3";
  diagnosis.oracle_positions = {kNaN, std::numeric_limits<double>::infinity()};
  const std::string text = json::serialize(to_json(diagnosis));
  EXPECT_NE(text.find("\"oracle_positions\":[null,null]"), std::string::npos) << text;
  EXPECT_EQ(diagnosis_from_json(json::parse(text)).answer, "cut \xEF\xBF\xBD");
}

TEST(Diagnosis, IgnoresFieldsItDoesNotKnow) {
  json::object object = to_json(example());
  object["comment"] = "kept by another program";
  EXPECT_EQ(diagnosis_from_json(object).task, "hotpotqa");
}

struct Refusal {
  const char* name;
  std::function<void(json::object&)> damage;
  const char* message;
};

json::object& first_curve(json::object& object) {
  return object["heuristics"].as_array()[0].as_object();
}

TEST(Diagnosis, RefusesMalformedJsonByName) {
  const std::vector<Refusal> refusals = {
      {"no id", [](json::object& o) { o.erase("id"); }, "'id' is missing"},
      {"no answer", [](json::object& o) { o.erase("answer"); }, "'answer' is missing"},
      {"no recall", [](json::object& o) { o.erase("head_recall"); }, "'head_recall' is missing"},
      {"number as id", [](json::object& o) { o["id"] = 3; }, "'id' must be a string"},
      {"text as tokens", [](json::object& o) { o["tokens"] = "12"; }, "'tokens' must be an integer"},
      {"fraction as tokens", [](json::object& o) { o["tokens"] = 1.5; }, "'tokens' must be an integer"},
      {"negative tokens", [](json::object& o) { o["tokens"] = -1; }, "'tokens' must be an integer from 0"},
      {"layer beyond int", [](json::object& o) { o["fixed_layer"] = 1LL << 40; }, "'fixed_layer' must be"},
      {"heuristics object", [](json::object& o) { o["heuristics"] = json::object(); },
       "'heuristics' must be a list"},
      {"heuristic number", [](json::object& o) { o["heuristics"].as_array()[1] = 4; },
       "'heuristics[1]' must be an object"},
      {"no spearman", [](json::object& o) { first_curve(o).erase("spearman"); },
       "'heuristics[0].spearman' is missing"},
      {"text in jaccard", [](json::object& o) { first_curve(o)["jaccard"].as_array()[2] = "x"; },
       "'heuristics[0].jaccard[2]' must be a number or null"},
      {"horizontal number", [](json::object& o) { first_curve(o)["horizontal"] = 1; },
       "'heuristics[0].horizontal' must be true or false"},
      {"exit layer -2", [](json::object& o) { first_curve(o)["exit_layer"] = -2; },
       "'heuristics[0].exit_layer' must be"},
      {"recall flat",
       [](json::object& o) {
         o["head_recall"] = json::array{.1, .2};
       },
       "'head_recall[0]' must be a list of numbers"},
      {"positions null", [](json::object& o) { o["oracle_positions"] = nullptr; },
       "'oracle_positions' must be a list of numbers"},
  };
  for (const Refusal& refusal : refusals) {
    json::object object = to_json(example());
    refusal.damage(object);
    try {
      diagnosis_from_json(object);
      ADD_FAILURE() << refusal.name << ": nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile) << refusal.name;
      EXPECT_NE(std::string(error.what()).find(refusal.message), std::string::npos) << error.what();
    }
  }
}

TEST(Diagnosis, RefusesWhatIsNoObject) {
  EXPECT_THROW(diagnosis_from_json(json::array()), Error);
  EXPECT_THROW(diagnosis_from_json(nullptr), Error);
}

}  // namespace
}  // namespace claa::eval
