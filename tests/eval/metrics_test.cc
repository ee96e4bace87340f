// Metrics against the Python packages (tools/make_metric_goldens.py), and cases worked out by hand.
#include "eval/metrics/metrics.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <sstream>

#include "claa/error.h"
#include "eval/metrics/metric_text.h"
#include "paths.h"
#include "text/unicode_text.h"

namespace claa::eval {
namespace {

namespace json = boost::json;
using Strings = std::vector<std::string>;

constexpr double kTolerance = 1e-9;
constexpr size_t kFewest = 500;  // golden pairs per metric

const json::object& goldens() {
  static const json::value data = [] {
    std::ifstream file(test_data("eval/metrics.json"));
    std::ostringstream text;
    text << file.rdbuf();
    return json::parse(text.str());
  }();
  return data.as_object();
}

// The golden string that an entry of a case stands for.
std::string text_of(const json::value& index) {
  return std::string(goldens().at("strings").as_array().at(index.to_number<size_t>()).as_string());
}

Strings texts_of(const json::value& indices) {
  Strings texts;
  for (const json::value& index : indices.as_array()) texts.push_back(text_of(index));
  return texts;
}

const json::array& cases_of(const char* metric) {
  const json::array& cases = goldens().at(metric).as_array();
  EXPECT_GE(cases.size(), kFewest) << metric;
  return cases;
}

using TextMetric = double (*)(std::string_view, std::string_view);

void expect_goldens(const char* name, TextMetric metric) {
  for (const json::value& entry : cases_of(name)) {
    const json::array& golden = entry.as_array();
    EXPECT_NEAR(metric(text_of(golden.at(0)), text_of(golden.at(1))), golden.at(2).to_number<double>(),
                kTolerance)
        << name << " of " << json::serialize(json::string(text_of(golden.at(0)))) << " and "
        << json::serialize(json::string(text_of(golden.at(1))));
  }
}

TEST(Metrics, LowerCaseEqualsPython) {
  for (const json::value& entry : cases_of("lower_case")) {
    EXPECT_EQ(lower_case(text_of(entry.as_array().at(0))), text_of(entry.as_array().at(1)));
  }
}

TEST(Metrics, TextMetricsEqualPython) {
  expect_goldens("qa_f1", qa_f1);
  expect_goldens("retrieval", retrieval_score);
  expect_goldens("count", count_score);
  expect_goldens("code_sim", code_sim_score);
  expect_goldens("fuzz_ratio",
                 [](std::string_view a, std::string_view b) -> double { return fuzz_ratio(a, b); });
}

TEST(Metrics, RougeEqualsPython) {
  int beyond_limit = 0;
  for (const json::value& entry : cases_of("rouge_l")) {
    const json::array& golden = entry.as_array();
    const std::string prediction = text_of(golden.at(0));
    const std::string answer = text_of(golden.at(1));
    const double expected = golden.at(2).to_number<double>();
    const double limited = golden.at(3).to_number<double>();
    EXPECT_NEAR(rouge_l(prediction, answer), expected, kTolerance) << prediction << "\n" << answer;
    EXPECT_NEAR(rouge_l(prediction, answer, {.recursion_limit = true}), limited, kTolerance)
        << prediction << "\n"
        << answer;
    beyond_limit += expected != limited;
  }
  EXPECT_GE(beyond_limit, 3) << "no golden pair needs too many calls";
}

TEST(Metrics, RulerEqualsPython) {
  for (const json::value& entry : cases_of("ruler")) {
    const json::array& golden = entry.as_array();
    const std::string prediction = text_of(golden.at(0));
    const Strings references = texts_of(golden.at(1));
    EXPECT_NEAR(ruler_string_match_all(prediction, references), golden.at(2).to_number<double>(), kTolerance)
        << prediction;
    EXPECT_EQ(ruler_string_match_part(prediction, references), golden.at(3).to_number<double>())
        << prediction;
  }
}

TEST(Metrics, NeedleEqualsPython) {
  for (const json::value& entry : cases_of("needle")) {
    const json::array& golden = entry.as_array();
    const NeedleScore score = needle_token_score(text_of(golden.at(0)), text_of(golden.at(1)));
    EXPECT_NEAR(score.as_is, golden.at(2).to_number<double>(), kTolerance) << text_of(golden.at(0));
    EXPECT_NEAR(score.stripped, golden.at(3).to_number<double>(), kTolerance) << text_of(golden.at(0));
  }
}

TEST(Metrics, ClassificationEqualsPython) {
  for (const json::value& entry : cases_of("classification")) {
    const json::array& golden = entry.as_array();
    EXPECT_NEAR(classification_score(text_of(golden.at(0)), text_of(golden.at(1)), texts_of(golden.at(2))),
                golden.at(3).to_number<double>(), kTolerance)
        << text_of(golden.at(0)) << " for " << text_of(golden.at(1));
  }
}

TEST(Metrics, QaF1ByHand) {
  EXPECT_EQ(qa_f1("The Eiffel Tower!", "eiffel tower"), 1);
  EXPECT_EQ(qa_f1("a the an", "the"), 0) << "nothing is left of either";
  EXPECT_DOUBLE_EQ(qa_f1("red red blue", "red green"), 2 * (1 / 3.0) * .5 / (1 / 3.0 + .5));
  EXPECT_EQ(qa_f1("co-op", "coop"), 1) << "punctuation is dropped, not made a blank";
  EXPECT_EQ(qa_f1("theme", "me"), 0) << "articles are whole words";
  EXPECT_EQ(qa_f1("\u201Cthe\u201D cat", "\u201C \u201D cat"), 1) << "quotation marks end a word";
  EXPECT_EQ(qa_f1("a\u00B2 the\u2167", "\u00B2 \u2167"), 0) << "numbers of every kind continue a word";
  EXPECT_EQ(qa_f1("a\u0301", "\u0301"), 1) << "a combining mark does not";
  EXPECT_EQ(qa_f1("one\u00A0two\u2028three", "three two one"), 1);
  EXPECT_EQ(qa_f1("one\u200Btwo", "one two"), 0) << "a zero-width space is no white space";
}

TEST(Metrics, LowerCaseByHand) {
  EXPECT_EQ(lower_case("\u039F\u0394\u039F\u03A3 \u03A3"), "\u03BF\u03B4\u03BF\u03C2 \u03C3");
  EXPECT_EQ(lower_case("\u0130"), "i\u0307");
  EXPECT_EQ(lower_case("A\xFF"), "a\uFFFD");
}

TEST(Metrics, RougeByHand) {
  EXPECT_EQ(rouge_l("", "x"), 0);
  EXPECT_EQ(rouge_l("...", "x"), 0);
  EXPECT_EQ(rouge_l("x", ""), 0);
  EXPECT_NEAR(rouge_l("a b c", "a b c"), 1, 1e-7);
  // "b a" and "a b" share one word: 1 of 2 and 1 of 2.
  EXPECT_NEAR(rouge_l("b a", "a b"), .5, 1e-7);
  // Each sentence of the answer finds another word, and the set has both.
  EXPECT_NEAR(rouge_l("b a", "a. b"), 1, 1e-7);
  // The blank between the stops is a sentence of one empty word: 1 of 1 and 1 of 2.
  EXPECT_NEAR(rouge_l("x. .", "x"), 2 / 3.0, 1e-7);
  EXPECT_NEAR(rouge_l(" ", "\t"), 1, 1e-7) << "an empty word on both sides";
  // Three matches need four calls.
  EXPECT_NEAR(rouge_l("a b c", "a b c", {.recursion_limit = true, .most_calls = 4}), 1, 1e-7);
  EXPECT_EQ(rouge_l("a b c", "a b c", {.recursion_limit = true, .most_calls = 3}), 0);
  EXPECT_NEAR(rouge_l("a b c", "a b c", {.recursion_limit = false, .most_calls = 3}), 1, 1e-7);
}

TEST(Metrics, ClassificationByHand) {
  const Strings classes = {"Other location", "Other", "City", "Person"};
  EXPECT_EQ(classification_score("City", "City", classes), 1);
  EXPECT_EQ(classification_score("City or Person", "City", classes), .5);
  EXPECT_EQ(classification_score("nothing", "City", classes), 0);
  EXPECT_EQ(classification_score("Other location", "Other location", classes), 1) << "its part is removed";
  EXPECT_EQ(classification_score("Other location", "Other", classes), .5) << "a longer class stays";
  // After "ab" is removed, "b" stands where it was and is not looked at: "abc" and "b" are left.
  EXPECT_EQ(classification_score("abc", "abc", Strings{"ab", "b", "abc"}), .5);
  EXPECT_EQ(classification_score("City", "City", {}), 0);
}

TEST(Metrics, NumbersByHand) {
  EXPECT_EQ(retrieval_score("Paragraph 7", "Paragraph 7"), 1);
  EXPECT_EQ(retrieval_score("7, 8, 7 or 17", "Paragraph 7"), .5);
  EXPECT_EQ(retrieval_score("07", "Paragraph 7"), 0);
  EXPECT_EQ(retrieval_score("7", "7"), 0) << "the answer names no paragraph";
  EXPECT_EQ(retrieval_score("none", "Paragraph 7"), 0);
  EXPECT_EQ(count_score("There are 12 of 20.", "12"), .5);
  EXPECT_EQ(count_score("twelve", "12"), 0);
}

TEST(Metrics, FuzzRatioByHand) {
  EXPECT_EQ(fuzz_ratio("", ""), 100);
  EXPECT_EQ(fuzz_ratio("", "a"), 0);
  EXPECT_EQ(fuzz_ratio("abcd", "bcde"), 75);
  EXPECT_EQ(fuzz_ratio("\u00E9a", "\u00E9b"), 50) << "characters, not bytes";
  // 2 of 16 characters are 12.5 %: a half goes to the even neighbour.
  EXPECT_EQ(fuzz_ratio("a", "abcdefghijklmno"), 12);
  // "a" is frequent in 200 characters, and no match starts with it; in 199 it is not yet.
  EXPECT_EQ(fuzz_ratio("b" + std::string(199, 'a'), std::string(199, 'a')), 100);
  EXPECT_EQ(fuzz_ratio("b" + std::string(199, 'a'), std::string(200, 'a')), 0);
  // The other way round: the second text is the one with frequent characters.
  EXPECT_EQ(fuzz_ratio(std::string(200, 'a'), "b" + std::string(198, 'a')), 99);
}

TEST(Metrics, CodeSimByHand) {
  EXPECT_EQ(code_sim_score("\n\n# a comment\nx = 1\ny = 2", "x = 1"), 1);
  EXPECT_EQ(code_sim_score("// all\n`marks`", "x = 1"), 0);
  EXPECT_EQ(code_sim_score("# a comment\n\nx = 1", "x = 1"), 0)
      << "the empty line is the first without marks";
  EXPECT_EQ(code_sim_score("// all", ""), 1) << "both are empty";
}

TEST(Metrics, RulerByHand) {
  EXPECT_EQ(ruler_string_match_all("It is 123 and ABC.", Strings{"123", "abc", "x", "9"}), .5);
  EXPECT_EQ(ruler_string_match_part("It is ABC.", Strings{"x", "abc"}), 1);
  EXPECT_EQ(ruler_string_match_part("It is ABC.", Strings{"x"}), 0);
  EXPECT_EQ(ruler_string_match_all("x", {}), 0);
  EXPECT_EQ(ruler_string_match_part("x", {}), 0);
}

TEST(Metrics, NeedleByHand) {
  const NeedleScore score = needle_token_score("Sit in the park on a sunny day.", "sit on a sunny day");
  EXPECT_DOUBLE_EQ(score.as_is, .8) << "\"day.\" is not \"day\"";
  EXPECT_DOUBLE_EQ(score.stripped, 1);
  EXPECT_EQ(needle_token_score("x", "").as_is, 0);
  EXPECT_EQ(needle_token_score("...", "...").as_is, 1);
  EXPECT_EQ(needle_token_score("...", "...").stripped, 0) << "no word is left";
}

TEST(Metrics, LongbenchPicksTheMetric) {
  EXPECT_EQ(longbench_score("hotpotqa", "Paris", Strings{"London", "the Paris"}), 1) << "the best answer";
  EXPECT_EQ(longbench_score("hotpotqa", "Paris", {}), 0);
  EXPECT_LT(longbench_score("hotpotqa", "Paris\nmore", Strings{"Paris"}), 1) << "all lines count";
  EXPECT_EQ(longbench_score("triviaqa", "\n\nParis\nmore", Strings{"Paris"}), 1) << "the first line counts";
  EXPECT_EQ(longbench_score("trec", "City\nPerson", Strings{"City"}, Strings{"City", "Person"}), 1);
  EXPECT_EQ(longbench_score("lsht", "City\nPerson", Strings{"City"}, Strings{"City", "Person"}), 1);
  EXPECT_NEAR(longbench_score("samsum", "b a\nz", Strings{"a. b"}), 1, 1e-7);
  EXPECT_EQ(longbench_score("passage_count", "3 or 4", Strings{"3"}), .5);
  EXPECT_EQ(longbench_score("passage_retrieval_en", "3", Strings{"Paragraph 3"}), 1);
  for (const char* task : {"gov_report", "qmsum", "multi_news"}) {
    EXPECT_NEAR(longbench_score(task, "x. .", Strings{"x"}), 2 / 3.0, 1e-7) << task;
    EXPECT_EQ(longbench_score(task, "a b", Strings{"a b"}, {}, {.recursion_limit = true, .most_calls = 2}),
              0);
  }
  for (const char* task : {"lcc", "repobench-p"}) {
    EXPECT_EQ(longbench_score(task, "#\nx", Strings{"x"}), 1) << task;
  }
  for (const char* task : {"narrativeqa", "qasper", "multifieldqa_en", "2wikimqa", "musique"}) {
    EXPECT_EQ(longbench_score(task, "the red", Strings{"red."}), 1) << task;
  }
  EXPECT_EQ(longbench_tasks().size(), 17u);
}

TEST(Metrics, LongbenchNamesTheTasks) {
  try {
    longbench_score("LCC", "x", Strings{"x"});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("\"LCC\""), std::string::npos) << error.what();
    for (std::string_view task : longbench_tasks()) {
      EXPECT_NE(std::string(error.what()).find(task), std::string::npos) << error.what();
    }
  }
}

// Bytes of every kind in all metrics: nothing throws, and no score leaves [0, 1].
TEST(Metrics, AnyBytesAreScored) {
  uint32_t state = 7;
  const auto next = [&state] { return state = state * 1664525 + 1013904223; };
  for (int round = 0; round < 2000; ++round) {
    Strings texts(3);
    for (std::string& text : texts) {
      for (uint32_t left = (next() >> 16) % 40; left > 0; --left) {
        const uint32_t value = next() >> 8;
        text += value % 3 == 0 ? "a. \n7`"[value / 3 % 6] : static_cast<char>(value >> 8);
      }
    }
    for (std::string_view task : longbench_tasks()) {
      const double score = longbench_score(task, texts[0], texts, texts);
      EXPECT_GE(score, 0) << task;
      EXPECT_LE(score, 1) << task;
    }
    EXPECT_LE(ruler_string_match_all(texts[0], texts), 1);
    EXPECT_EQ(ruler_string_match_part(texts[0], texts), 1);
    EXPECT_LE(needle_token_score(texts[0], texts[1]).as_is, 1);
  }
}

// Lengths that recursion or a table of whole numbers would not survive.
TEST(Metrics, LongTextsAreScored) {
  std::string words, letters;
  for (int i = 0; i < 6000; ++i) words += "w" + std::to_string(i) + " ";
  for (int i = 0; i < 100000; ++i) letters += static_cast<char>('a' + i % 26);
  EXPECT_NEAR(rouge_l(words, words), 1, 1e-7);
  EXPECT_EQ(rouge_l(words, words, {.recursion_limit = true}), 0);
  EXPECT_EQ(qa_f1(words, words), 1);
  EXPECT_EQ(fuzz_ratio("!" + letters, letters), 0) << "every letter is frequent";
  EXPECT_EQ(fuzz_ratio(letters + "!", letters), 100) << "grown from the empty match at the start";
  EXPECT_EQ(fuzz_ratio("!" + letters, "!" + letters + "?"), 100) << "grown from the mark";
}

}  // namespace
}  // namespace claa::eval
