// The list of tasks, their scores, and the parts of the generators.
#include "eval/tasks/task.h"

#include <gmock/gmock.h>

#include <set>

#include "core/usize.h"
#include "eval/tasks/generate.h"
#include "eval/tasks/haystack.h"
#include "eval/tasks/words.h"
#include "paths.h"
#include "tasks_support.h"

namespace claa::eval {
namespace {

using testing::ElementsAre;

std::vector<std::string> names_of(const std::vector<TaskInfo>& tasks) {
  std::vector<std::string> names;
  for (const TaskInfo& task : tasks) names.push_back(task.name);
  return names;
}

TEST(Tasks, NamesAreUniqueAndNoGroupsNameIsAnotherTask) {
  std::set<std::string> names;
  for (const TaskInfo& task : all_tasks()) {
    EXPECT_TRUE(names.insert(task.name).second) << task.name;
    EXPECT_FALSE(task.summary.empty()) << task.name;
  }
  for (const TaskInfo& task : all_tasks()) {
    if (names.count(task.group) > 0) {
      EXPECT_EQ(task.name, task.group);
    }
  }
}

TEST(Tasks, ThePageNamesEveryGroup) {
  const std::string page = content_of(source_file("docs/tasks.md"));
  for (const TaskInfo& task : all_tasks()) {
    EXPECT_NE(page.find("| `" + task.group + "` |"), std::string::npos) << task.group;
  }
}

TEST(Tasks, FoundByNameAndGroup) {
  EXPECT_EQ(find_tasks({"ruler"}).size(), 13u);
  EXPECT_EQ(find_tasks({"longbench"}).size(), 16u);
  EXPECT_EQ(find_tasks({"longbench_e"}).size(), 13u);
  EXPECT_EQ(find_tasks({"babilong"}).size(), 5u);
  EXPECT_THAT(names_of(find_tasks({"vt", "niah", "vt"})), ElementsAre("vt", "niah"));
  EXPECT_EQ(find_tasks({"vt", "ruler"}).size(), 13u);
  EXPECT_TRUE(find_tasks({}).empty());
  expect_error(ErrorCode::kInvalidArgument, "no task 'hotpot'; the groups are ruler, ruler_files, niah", [] {
    find_tasks({"vt", "hotpot"});
  });
}

TEST(Tasks, EveryTaskWithoutItsDataSaysWhatItNeeds) {
  for (const TaskInfo& task : all_tasks()) {
    if (task.needs.empty()) continue;
    expect_error(ErrorCode::kInvalidArgument, "task '" + task.name + "' needs data: " + task.needs,
                 [&] { task.make(task_options("", 1, 2048)); });
    const ScratchFolder empty;
    expect_error(ErrorCode::kInvalidArgument, "task '" + task.name + "'",
                 [&] { task.make(task_options(empty.path(), 1, 2048)); });
  }
}

TEST(Tasks, DependOnSeedLengthAndIndexAlone) {
  for (const TaskInfo& task : all_tasks()) {
    if (!task.needs.empty()) continue;
    const std::vector<Example> once = task.make(task_options("", 4, 2048)),
                               twice = task.make(task_options("", 4, 2048));
    TaskOptions two_lengths = task_options("", 2, 4096);
    two_lengths.lengths.push_back(2048);
    const std::vector<Example> both = task.make(two_lengths);
    ASSERT_EQ(once.size(), 4u);
    ASSERT_EQ(both.size(), 4u);
    for (size_t i = 0; i < once.size(); ++i) {
      EXPECT_EQ(once[i].id, twice[i].id);
      EXPECT_EQ(once[i].prompt, twice[i].prompt) << once[i].id;
      EXPECT_EQ(once[i].answers, twice[i].answers);
      for (size_t j = 0; j < i; ++j) EXPECT_NE(once[i].prompt, once[j].prompt);
    }
    if (task.name == "niah") continue;  // depths are spread over as many examples as there are
    EXPECT_EQ(both[2].prompt, once[0].prompt) << "other lengths changed " << once[0].id;
    EXPECT_EQ(both[3].prompt, once[1].prompt);
    const std::vector<Example> other = task.make(task_options("", 4, 2048, 43));
    for (size_t i = 0; i < other.size(); ++i) {
      EXPECT_NE(other[i].prompt, once[i].prompt);
      EXPECT_NE(other[i].answers, once[i].answers);
    }
  }
}

TEST(Tasks, LengthsThatCannotBeAreRefused) {
  for (const TaskInfo& task : all_tasks()) {
    if (!task.needs.empty()) continue;
    for (const int64_t length : {int64_t{-1}, int64_t{0}, int64_t{1} << 40}) {
      expect_error(ErrorCode::kInvalidArgument, "is not between 1 and",
                   [&] { task.make(task_options("", 1, length)); });
    }
    expect_error(ErrorCode::kInvalidArgument, "give a", [&] { task.make(task_options("", 1, 100)); });
    expect_error(ErrorCode::kInvalidArgument, "-1 examples", [&] { task.make(task_options("", -1, 2048)); });
    TaskOptions none = task_options("", 1, 2048);
    none.lengths.clear();
    expect_error(ErrorCode::kInvalidArgument, "no prompt length", [&] { task.make(none); });
  }
}

TEST(Tasks, AHaystackOfOnesOwn) {
  const ScratchFolder folder;
  write_text(folder.path() / "hay.txt", "Ships sail at dawn.\nGulls  cry.");
  TaskOptions options = task_options("", 2, 1024);
  options.haystack = (folder.path() / "hay.txt").string();
  for (const Example& example : make_examples("niah_single_2", options)) {
    EXPECT_NE(example.prompt.find("Gulls cry. Ships sail at dawn. Gulls"), std::string::npos);
  }
  write_text(folder.path() / "hay.txt", " \n");
  expect_error(ErrorCode::kInvalidArgument, "has no words", [&] { make_examples("niah", options); });
  options.haystack = (folder.path() / "none.txt").string();
  expect_error(ErrorCode::kNotFound, "none.txt", [&] { make_examples("niah", options); });
}

TEST(NeedleTask, StandsAtTheEndOfASentenceBeforeItsDepth) {
  TaskOptions options = task_options("", 0, 2048);
  options.lengths.push_back(4096);
  const std::vector<Example> examples = make_examples("niah", options);
  ASSERT_EQ(examples.size(), 20u);
  const std::string needle =
      "\nThe best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny day.\n";
  for (const Example& example : examples) {
    EXPECT_FALSE(example.chat);
    EXPECT_EQ(example.max_tokens, 50);
    const int64_t length = quarter_of_bytes(example.prompt);
    EXPECT_LE(length + example.max_tokens, static_cast<int64_t>(example.facets.at("length")));
    EXPECT_GE(length, example.facets.at("length") - 200);
    const std::string text = between(example.prompt, "<book> ",
                                     " </book>.\n Based on the content of the book, Question: "
                                     "The best thing to do in San Francisco is: \nAnswer:");
    const size_t at = text.find(needle);
    ASSERT_NE(at, std::string::npos) << example.id;
    const double place = 100.0 * static_cast<double>(at) / static_cast<double>(text.size() - needle.size());
    EXPECT_LE(place, example.facets.at("depth")) << example.id;
    EXPECT_GE(place, example.facets.at("depth") - 8) << example.id;
    if (at > 0 && example.facets.at("depth") < 100) {
      EXPECT_EQ(text[at - 1], '.') << example.id;
    }
    EXPECT_EQ(score(example, "To eat a sandwich and sit in Dolores Park on a sunny day."), 1);
    Example stripped = example;
    stripped.metric = "needle_stripped";
    EXPECT_LT(score(example, "eat a sandwich and sit in Dolores Park on a sunny day"), 1);
    EXPECT_EQ(score(stripped, "eat a sandwich and sit in Dolores Park on a sunny day"), 1);
  }
  std::set<double> depths;
  for (const Example& example : make_examples("niah", task_options("", 3, 2048)))
    depths.insert(example.facets.at("depth"));
  EXPECT_THAT(depths, ElementsAre(0, 44, 100));
}

Example scored(const std::string& metric, std::vector<std::string> answers,
               std::vector<std::string> classes = {}) {
  Example example;
  example.id = "one";
  example.metric = metric;
  example.answers = std::move(answers);
  example.classes = std::move(classes);
  return example;
}

TEST(Score, EveryMetric) {
  EXPECT_EQ(score(scored("ruler_all", {"ab", "cd"}), "it is AB"), 0.5);
  EXPECT_EQ(score(scored("ruler_part", {"ab", "cd"}), "it is AB"), 1);
  EXPECT_EQ(score(scored("contains", {"ab", "cd"}), "it is AB"), 1);
  EXPECT_EQ(score(scored("contains", {"ab", "cd"}), "it is CD"), 0);
  EXPECT_EQ(score(scored("needle", {"a day."}), "a day"), 0.5);
  EXPECT_EQ(score(scored("needle_stripped", {"a day."}), "a day"), 1);
  EXPECT_EQ(score(scored("last_number", {"241"}), "line 3 has <241>."), 1);
  EXPECT_EQ(score(scored("last_number", {"241"}), "2410"), 0);
  EXPECT_EQ(score(scored("last_number", {"241"}), "241 in line 3"), 0);
  EXPECT_EQ(score(scored("last_number", {"241"}), "none"), 0);
  EXPECT_EQ(score(scored("longbench/hotpotqa", {"the red fox", "x"}), "red fox"), 1);
  EXPECT_EQ(score(scored("longbench/trec", {"City"}, {"City", "Date"}), "City\nDate"), 1);
  EXPECT_EQ(score(scored("longbench/trec", {"City"}, {"City", "Date"}), "City Date"), 0.5);
  EXPECT_EQ(score(scored("longbench/passage_count", {"7"}), "7 of 8"), 0.5);
}

TEST(Score, BabilongWantsOneLabelInTheFirstSentence) {
  const Example example = scored("babilong", {"Kitchen"}, {"garden", "kitchen"});
  EXPECT_EQ(score(example, "Before the office the milk was in the Kitchen. Then in the garden."), 1);
  EXPECT_EQ(score(example, "kitchen or garden"), 0);
  EXPECT_EQ(score(example, "garden"), 0);
  EXPECT_EQ(score(example, "kitchen <example> garden"), 1);
  EXPECT_EQ(score(example, ""), 0);
}

TEST(Score, UnknownMetricsAndMissingAnswersAreRefused) {
  expect_error(ErrorCode::kInvalidArgument,
               "example 'one' has the unknown metric 'bleu'; known are ruler_all",
               [] { score(scored("bleu", {"a"}), "a"); });
  expect_error(ErrorCode::kInvalidArgument, "dureader",
               [] { score(scored("longbench/dureader", {"a"}), "a"); });
  for (const char* metric : {"contains", "needle", "needle_stripped", "last_number", "babilong"}) {
    expect_error(ErrorCode::kInvalidArgument, "example 'one' has no answer",
                 [&] { score(scored(metric, {}), "a1"); });
  }
}

TEST(TaskParts, LargestFitting) {
  for (int64_t most : {1, 2, 7, 100}) {
    for (int64_t limit = 0; limit <= most + 3; ++limit) {
      const auto fits = [&](int64_t n) {
        EXPECT_GE(n, 1);
        EXPECT_LE(n, most);
        return n <= limit;
      };
      EXPECT_EQ(largest_fitting(1, most, fits), std::min(most, limit)) << most << " " << limit;
    }
  }
  EXPECT_EQ(largest_fitting(5, 4, [](int64_t) { return true; }), 4);
}

TEST(TaskParts, Sentences) {
  EXPECT_THAT(sentences("One. Two! \"Three?\" Four"), ElementsAre("One.", "Two!", "\"Three?\"", "Four"));
  EXPECT_THAT(sentences("Mr. Bell and J. Hill came. It is I. No. 5 fell, e.g. there."),
              ElementsAre("Mr. Bell and J. Hill came.", "It is I.", "No. 5 fell, e.g. there."));
  EXPECT_THAT(sentences("End."), ElementsAre("End."));
  EXPECT_TRUE(sentences("").empty());
}

TEST(TaskParts, WordListsAreLargeAndWithoutRepetition) {
  EXPECT_GE(nouns().size(), 400u);
  EXPECT_GE(adjectives().size(), 300u);
  std::set<std::string_view> all;
  for (const auto* list : {&nouns(), &adjectives(), &verbs()}) {
    for (const std::string_view word : *list) {
      EXPECT_TRUE(all.insert(word).second) << word;
      EXPECT_EQ(word.find_first_not_of("abcdefghijklmnopqrstuvwxyz"), std::string_view::npos) << word;
    }
  }
}

TEST(TaskParts, RandomNumbers) {
  Random random(1, "task", 2, 3);
  std::vector<int> bins(10);
  for (int i = 0; i < 10000; ++i) ++bins[usize(random.below(10))];
  EXPECT_LT(chi_square(bins, 10000), 34);  // passed by chance once in ten thousand seeds
  const std::vector<int64_t> sample = random.sample(40, 40);
  EXPECT_EQ(std::set<int64_t>(sample.begin(), sample.end()).size(), 40u);
  EXPECT_THAT(random.uuid(),
              testing::MatchesRegex("[0-9a-f-]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_NE(Random(1, "a", 2, 3).uuid(), Random(1, "a", 3, 2).uuid());
  EXPECT_NE(Random(1, "a", 2, 3).uuid(), Random(1, "b", 2, 3).uuid());
  // Fixed for good: results of a seed are compared across machines and versions.
  Random fixed(42, "vt", 4096, 0);
  EXPECT_EQ(fixed.below(1000000), 583758);
  EXPECT_EQ(fixed.uuid(), "54ad14da-9358-4936-bbc5-0833a09dab3f");
}

}  // namespace
}  // namespace claa::eval
