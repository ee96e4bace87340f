// A thousand examples of every RULER task: what is asked for is in the prompt, a small solver finds the
// answers in the prompt alone, and the length is kept.
#include <gmock/gmock.h>

#include <numeric>
#include <set>

#include "core/usize.h"
#include "tasks_support.h"

namespace claa::eval {
namespace {

constexpr int64_t kCount = 1000;
constexpr int64_t kLength = 1024;

using testing::ElementsAreArray;
using testing::UnorderedElementsAreArray;

const std::vector<std::string> kNeedleTasks = {"niah_single_1",   "niah_single_2",   "niah_single_3",
                                               "niah_multikey_1", "niah_multikey_2", "niah_multikey_3",
                                               "niah_multivalue", "niah_multiquery"};

// 40 articles of 5 paragraphs with 5 questions each, answers of their own.
void write_squad(const std::filesystem::path& path) {
  std::string text = R"({"version": "1.1", "data": [)";
  for (int article = 0; article < 40; ++article) {
    text += (article > 0 ? "," : "") + std::string(R"({"title": "t", "paragraphs": [)");
    for (int paragraph = 0; paragraph < 5; ++paragraph) {
      std::string context, questions;
      for (int q = 0; q < 5; ++q) {
        const std::string name = std::to_string(article * 25 + paragraph * 5 + q + 1000);
        context += "The door of house " + name + " has the colour shade" + name + ". ";
        questions += std::string(q > 0 ? "," : "") + R"({"id": "x", "question": "What colour has house )" +
                     name + R"(?", "answers": [{"answer_start": 0, "text": "shade)" + name + R"("}]})";
      }
      text += (paragraph > 0 ? "," : "") + std::string(R"({"context": ")") + context + R"(", "qas": [)" +
              questions + "]}";
    }
    text += "]}";
  }
  write_text(path, text + "]}");
}

// 1000 questions with 10 paragraphs each, of which all but the first are another's too.
void write_hotpot(const std::filesystem::path& path) {
  std::string text = "[";
  for (int q = 0; q < 1000; ++q) {
    const std::string name = std::to_string(q + 1000);
    text += std::string(q > 0 ? "," : "") + R"({"question": "What is house )" + name +
            R"(?", "answer": "shade)" + name + R"(", "context": [["house )" + name +
            R"(", ["It is ", "shade)" + name + R"(."]])";
    for (int other = 1; other < 10; ++other) {
      const std::string number = std::to_string((q * 7 + other * 13) % 500);
      text += R"(,["tower )" + number + R"(", ["It is tall."]])";
    }
    text += "]}";
  }
  write_text(path, text + "]");
}

void expect_sound(const std::string& task, const std::vector<Example>& examples, int64_t slack) {
  ASSERT_EQ(examples.size(), usize(kCount));
  std::set<std::string> ids;
  int64_t longest = 0;
  for (const Example& example : examples) {
    EXPECT_TRUE(ids.insert(example.id).second) << example.id;
    EXPECT_EQ(example.task, task);
    EXPECT_EQ(example.group, "ruler");
    EXPECT_TRUE(example.chat);
    EXPECT_EQ(example.facets.at("length"), kLength);
    EXPECT_EQ(example.answer_prefix.front(), ' ');
    const int64_t length = quarter_of_bytes(example.prompt + example.answer_prefix) + example.max_tokens;
    ASSERT_LE(length, kLength) << example.id;
    EXPECT_GE(length, kLength - slack) << example.id;
    longest = std::max(longest, length);
    for (const std::string& answer : example.answers) {
      EXPECT_NE(example.prompt.find(answer), std::string::npos) << example.id << ": " << answer;
    }
    EXPECT_EQ(score(example, "They are " + testing::PrintToString(example.answers)), 1) << example.id;
    EXPECT_EQ(score(example, "?"), 0) << example.id;
  }
  EXPECT_GE(longest, kLength - slack / 2);
}

// The values of the keys in the question, from the sentences of the text.
std::vector<std::string> find_needles(const Example& example) {
  const std::string question = between(example.prompt, " for ", " mentioned in the provided text?");
  std::vector<std::string> values;
  for (std::string key : cut(question, ", ")) {
    if (key.starts_with("and ")) key = key.substr(4);
    const std::string begin = " for " + key + " is: ";
    for (size_t at = 0; (at = example.prompt.find(begin, at)) != std::string::npos; at += begin.size()) {
      const size_t value = at + begin.size();
      values.push_back(example.prompt.substr(value, example.prompt.find('.', value) - value));
    }
  }
  return values;
}

class RulerNeedles : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Tasks, RulerNeedles, testing::ValuesIn(kNeedleTasks),
                         [](const auto& param) { return param.param; });

TEST_P(RulerNeedles, AThousandExamplesAreSound) {
  const std::vector<Example> examples = make_examples(GetParam(), task_options("", kCount, kLength));
  expect_sound(GetParam(), examples, 120);
  const bool several = GetParam() == "niah_multivalue" || GetParam() == "niah_multiquery";
  std::set<std::string> answers;
  for (const Example& example : examples) {
    EXPECT_EQ(example.max_tokens, 128);
    EXPECT_EQ(example.answers.size(), several ? 4u : 1u);
    EXPECT_THAT(find_needles(example), UnorderedElementsAreArray(example.answers)) << example.id;
    answers.insert(example.answers.begin(), example.answers.end());
    const bool uuid = GetParam() == "niah_single_3" || GetParam() == "niah_multikey_3";
    for (const std::string& answer : example.answers) EXPECT_EQ(answer.size(), uuid ? 36u : 7u);
    EXPECT_TRUE(example.prompt.starts_with(several ? "Some special magic numbers are hidden"
                                           : uuid  ? "A special magic uuid is hidden"
                                                   : "A special magic number is hidden"));
    EXPECT_EQ(example.facets.count("depth"), several ? 0u : 1u);
  }
  // Values are drawn anew: out of nine million, a pair of equal ones is expected once or twice at most.
  EXPECT_GE(answers.size(), (several ? 4u : 1u) * kCount - 6);
}

TEST_P(RulerNeedles, DepthsAreUniform) {
  if (GetParam() == "niah_multivalue" || GetParam() == "niah_multiquery") {
    // Several depths are asked at once: which of the four places the first has is random.
    std::vector<int> places(4);
    for (const Example& example : make_examples(GetParam(), task_options("", kCount, kLength))) {
      const size_t first = example.prompt.find(example.answers[0]);
      ++places[usize(
          std::count_if(example.answers.begin(), example.answers.end(),
                        [&](const std::string& other) { return example.prompt.find(other) < first; }))];
    }
    EXPECT_LT(chi_square(places, kCount), 22);
    return;
  }
  const bool essay =
      GetParam() == "niah_single_2" || GetParam() == "niah_single_3" || GetParam() == "niah_multikey_1";
  std::vector<int> bins(essay ? 40 : 10);
  std::set<double> depths;
  for (const Example& example : make_examples(GetParam(), task_options("", kCount, kLength))) {
    const double depth = example.facets.at("depth");
    depths.insert(depth);
    const auto bin = static_cast<size_t>(essay ? std::round(depth * 39 / 100) : depth / 10);
    ASSERT_LT(bin, bins.size());
    ++bins[bin];
  }
  // The limits that chance passes once in ten thousand seeds, for 39 and for 9 degrees of freedom. The lines
  // of a short prompt do not fall evenly into tenths, so there is some room.
  EXPECT_LT(chi_square(bins, kCount), essay ? 80 : 45);
  if (essay) {
    EXPECT_EQ(depths.size(), 40u);
  }
}

TEST_P(RulerNeedles, StandAtTheDepthTheyName) {
  // Sentences differ in length, so that a long text is needed for a close look.
  for (const Example& example : make_examples(GetParam(), task_options("", 40, 16384))) {
    if (example.facets.count("depth") == 0) continue;
    const double place = 100.0 * static_cast<double>(example.prompt.find(example.answers[0])) /
                         static_cast<double>(example.prompt.size());
    EXPECT_NEAR(place, example.facets.at("depth"), 8) << example.id;
  }
}

TEST(RulerTracking, AThousandExamplesAreSound) {
  const std::vector<Example> examples = make_examples("vt", task_options("", kCount, kLength));
  expect_sound("vt", examples, 60);
  std::set<std::string> shown;
  for (const Example& example : examples) {
    EXPECT_EQ(example.max_tokens, 30);
    const std::vector<std::string> halves =
        cut(example.prompt,
            "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n");
    ASSERT_EQ(halves.size(), 3u);
    shown.insert(halves[1]);
    for (const std::string& half : {halves[1], halves[2]}) {
      std::string value, last;
      std::vector<std::string> chain;
      for (const std::string& line : cut(half.substr(0, half.find("\nQuestion")), "\n")) {
        if (!line.starts_with("VAR ")) continue;
        const std::vector<std::string> words = cut(line, " ");
        if (words[3] == "VAR") {
          EXPECT_EQ(words[4], last) << line;
        } else {
          value = words[3];
        }
        chain.push_back(last = words[1]);
      }
      EXPECT_EQ(std::set<std::string>(chain.begin(), chain.end()).size(), 5u);
      EXPECT_EQ(value, between(half, "that are assigned the value ", " in the text"));
      if (half == halves[2]) {
        EXPECT_THAT(example.answers, ElementsAreArray(chain));
      } else {
        EXPECT_EQ(between(half, "they are:  ", "\n\n"),
                  chain[0] + " " + chain[1] + " " + chain[2] + " " + chain[3] + " " + chain[4]);
      }
    }
  }
  EXPECT_GT(shown.size(), 990u);  // the names in the solved example are new every time
}

std::map<std::string, int> count_list(const std::string& prompt) {
  const std::string list = between(prompt, "appear most often.\n", "\nQuestion:");
  std::vector<std::string> words;
  for (std::string entry : cut(list, ". ")) {
    const size_t blank = entry.rfind(' ');
    if (!words.empty() || entry != "1")
      words.push_back(blank == std::string::npos ? entry : entry.substr(0, blank));
  }
  return count_all(words);
}

void expect_counts(const Example& example, int common, int other) {
  std::vector<std::string> top;
  for (const auto& [word, count] : count_list(example.prompt)) {
    EXPECT_TRUE(count == common || count == other) << example.id << ": " << count << " times " << word;
    if (count == common) top.push_back(word);
  }
  EXPECT_EQ(example.answers.size(), 10u);
  EXPECT_THAT(example.answers, UnorderedElementsAreArray(top)) << example.id;
}

TEST(RulerCommonWords, AThousandExamplesAreSound) {
  const std::vector<Example> examples = make_examples("cwe", task_options("", kCount, kLength));
  expect_sound("cwe", examples, 40);
  for (const Example& example : examples) {
    EXPECT_EQ(example.max_tokens, 120);
    expect_counts(example, 6, 1);
  }
}

TEST(RulerCommonWords, ThirtyTimesAndThreeTimesFrom4096Tokens) {
  for (const Example& example : make_examples("cwe", task_options("", 20, 4096)))
    expect_counts(example, 30, 3);
}

TEST(RulerCommonWords, HasEnoughWordsForLongPrompts) {
  for (const Example& example : make_examples("cwe", task_options("", 1, 65536))) {
    expect_counts(example, 30, 3);
    EXPECT_GT(quarter_of_bytes(example.prompt), 65000);
  }
}

TEST(RulerFrequentWords, AThousandExamplesAreSound) {
  const std::vector<Example> examples = make_examples("fwe", task_options("", kCount, kLength));
  expect_sound("fwe", examples, 40);
  for (const Example& example : examples) {
    EXPECT_EQ(example.max_tokens, 50);
    std::vector<std::pair<int, std::string>> order;
    const std::string text = between(example.prompt, "most frequently appeared coded words. ", "\nQuestion:");
    for (const auto& [word, count] : count_all(cut(text, " "))) order.emplace_back(count, word);
    std::sort(order.rbegin(), order.rend());
    ASSERT_GE(order.size(), 5u);
    EXPECT_EQ(order[0].second, "...");
    EXPECT_GT(order[3].first, order[4].first);
    EXPECT_THAT(example.answers, testing::ElementsAre(order[1].second, order[2].second, order[3].second));
  }
}

class RulerQuestions : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Tasks, RulerQuestions, testing::Values("qa_1", "qa_2"),
                         [](const auto& param) { return param.param; });

TEST_P(RulerQuestions, AThousandExamplesAreSound) {
  const ScratchFolder folder;
  write_squad(folder.path() / "squad.json");
  write_hotpot(folder.path() / "hotpotqa.json");
  const std::vector<Example> examples =
      make_examples(GetParam(), task_options(folder.path(), kCount, kLength));
  expect_sound(GetParam(), examples, 80);
  std::vector<int> places(5);
  for (const Example& example : examples) {
    EXPECT_EQ(example.max_tokens, 32);
    EXPECT_EQ(example.metric, "ruler_part");
    const std::string house = between(example.prompt, "Question: What ", "?");
    const std::string number = house.substr(house.size() - 4);
    EXPECT_THAT(example.answers, testing::ElementsAre("shade" + number));
    const std::vector<std::string> documents = cut(
        between(example.prompt, "The following are given documents.\n\n", "\n\nAnswer the question"), "\n\n");
    std::set<std::string> different;
    for (size_t i = 0; i < documents.size(); ++i) {
      const std::string head = "Document " + std::to_string(i + 1) + ":\n";
      EXPECT_TRUE(documents[i].starts_with(head)) << documents[i];
      EXPECT_TRUE(different.insert(documents[i].substr(head.size())).second) << documents[i];
      if (documents[i].find("shade" + number) != std::string::npos) ++places[i * 5 / documents.size()];
    }
    EXPECT_GE(documents.size(), 10u);
  }
  EXPECT_EQ(std::accumulate(places.begin(), places.end(), 0), kCount);
  EXPECT_LT(chi_square(places, kCount), 35);
}

TEST(RulerQuestions, TheArticlesOwnParagraphsComeFirst) {
  const ScratchFolder folder;
  write_squad(folder.path() / "squad.json");
  for (const Example& example : make_examples("qa_1", task_options(folder.path(), 20, 500))) {
    // About six paragraphs fit: the five of the article and one other.
    const int64_t asked = std::stoll(between(example.prompt, "has house ", "?")) - 1000;
    for (int64_t paragraph = 0; paragraph < 5; ++paragraph) {
      const int64_t house = asked / 25 * 25 + paragraph * 5 + 1000;
      EXPECT_NE(example.prompt.find("house " + std::to_string(house) + " "), std::string::npos) << example.id;
    }
  }
}

TEST(RulerQuestions, ColumnsAndImpossibleQuestions) {
  const ScratchFolder folder;
  write_text(
      folder.path() / "hotpot.json",
      R"([{"question": "Q?", "answer": "A", "context": {"title": ["T", "U"], "sentences": [["One A."], ["Two."]]}}])");
  const std::vector<Example> hotpot = make_examples("qa_2", task_options(folder.path(), 5, 500));
  ASSERT_EQ(hotpot.size(), 1u);
  EXPECT_NE(hotpot[0].prompt.find(":\nT\nOne A."), std::string::npos);
  write_text(
      folder.path() / "dev-v2.0.json",
      R"({"data": [{"paragraphs": [{"context": "C", "qas": [)"
      R"({"question": "no?", "answers": [], "is_impossible": true},)"
      R"({"question": "yes?", "answers": [{"text": "C"}, {"text": "D"}], "is_impossible": false}]}]}]})");
  const std::vector<Example> squad = make_examples("qa_1", task_options(folder.path(), 5, 500));
  ASSERT_EQ(squad.size(), 1u);
  EXPECT_THAT(squad[0].answers, testing::ElementsAre("C", "D"));
  EXPECT_NE(squad[0].prompt.find("Question: yes?"), std::string::npos);
}

TEST(RulerQuestions, BadFilesAreRefused) {
  const ScratchFolder folder;
  const auto refused = [&](const std::string& task, const std::string& name, const std::string& text,
                           const std::string& part) {
    write_text(folder.path() / name, text);
    expect_error(ErrorCode::kInvalidArgument, part,
                 [&] { make_examples(task, task_options(folder.path() / name, 1, 500)); });
  };
  refused("qa_1", "squad.json", "{\"data\": [", "squad.json' is not JSON");
  refused("qa_1", "squad.json", "{}", "field 'data' is missing");
  refused("qa_1", "squad.json", R"({"data": [{"paragraphs": [{"qas": []}]}]})",
          "squad.json' data[0].paragraphs[0]: field 'context' is missing");
  refused("qa_1", "squad.json",
          R"({"data": [{"paragraphs": [{"context": "c", "qas": [{"question": "q"}]}]}]})",
          "qas[0]: field 'answers' is missing");
  refused("qa_1", "squad.json", R"({"data": []})", "no question with an answer");
  refused("qa_2", "hotpot.json", "{}", "must hold an array");
  refused("qa_2", "hotpot.json", "[{}]", "[0]: field 'context' is missing");
  refused("qa_2", "hotpot.json", R"([{"context": [["t"]], "question": "q", "answer": "a"}])", "pairs");
  refused("qa_2", "hotpot.json", R"([{"context": [["t", ["s"]]], "question": "q"}])",
          "field 'answer' is missing");
  const ScratchFolder empty;
  expect_error(ErrorCode::kInvalidArgument, "it needs SQuAD's JSON file",
               [&] { make_examples("qa_1", task_options(empty.path(), 1, 500)); });
  expect_error(ErrorCode::kInvalidArgument, "task 'qa_2' needs data",
               [] { make_examples("qa_2", task_options("", 1, 500)); });
}

}  // namespace
}  // namespace claa::eval
