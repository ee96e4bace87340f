// An evaluation with a made-up model: order, resumption to the byte, shards, refusals, thresholds.
#include "eval/study/evaluate.h"

#include <algorithm>

#include "eval/report/score_files.h"
#include "eval/study/study.h"
#include "eval/study/suite.h"
#include "eval_support.h"

namespace claa::eval {
namespace {

namespace fs = std::filesystem;

std::vector<TaskInfo> fake_tasks() {
  const auto task = [](const std::string& name, const std::string& group) {
    return TaskInfo{name, group, "", "", [name, group](const TaskOptions& options) {
                      std::vector<Example> examples;
                      for (int64_t i = 0; i < options.examples; ++i) {
                        Example example;
                        example.id = name + "/" + std::to_string(i);
                        example.task = name;
                        example.group = group;
                        example.prompt = "prompt " + std::to_string(i) + " of " + name;
                        example.answers = {"yes"};
                        example.facets = {{"length", 100}, {"depth", i % 2 == 0 ? 0.0 : 50.0}};
                        examples.push_back(std::move(example));
                      }
                      return examples;
                    }};
  };
  return {task("needle", "niah"), task("words", "ruler"), task("hops", "ruler")};
}

struct Fixture {
  explicit Fixture(int64_t count = 6) {
    TaskOptions options;
    options.examples = count;
    examples = plan_examples(fake_tasks(), options, {1, 2});
    configurations = make_configurations({{"full", "claa"}, {"0.1", "0.4"}, {}, ""});
    setup.tasks = {"all"};
    setup.lengths = {100};
    setup.seeds = {1, 2};
    model.name = "fake";
  }
  // Answers like a model: the same for the same question, worse at lower rates; times differ from call to
  // call.
  Outcome answer(const PlannedExample& planned, const Configuration& configuration) {
    ++calls;
    Outcome outcome;
    outcome.index = planned.index;
    outcome.id = planned.example.id;
    outcome.task = planned.example.task;
    outcome.group = planned.example.group;
    outcome.seed = planned.seed;
    outcome.facets = planned.example.facets;
    outcome.configuration = configuration.label;
    outcome.method = configuration.method;
    outcome.keep = configuration.keep.empty() ? 1 : std::stod(configuration.keep);
    outcome.tokens = 1000;
    outcome.kept_tokens = static_cast<int64_t>(1000 * outcome.keep);
    outcome.score =
        std::fmod(static_cast<double>(planned.index) * .37, 1) * (configuration.keep == "0.1" ? .5 : 1);
    outcome.ttft_ms = 100 * outcome.keep + .001 * calls;
    return outcome;
  }
  StudyLog open(const fs::path& folder, Shard shard = {}) {
    setup.shard = shard;
    return {(folder / kResultsFile).string(), study_json(setup, model, examples, configurations)};
  }
  void evaluate(const fs::path& folder, Shard shard = {}, int stop_after = 1 << 30) {
    StudyLog log = open(folder, shard);
    std::vector<PlannedExample> mine = examples;
    std::erase_if(mine, [&](const PlannedExample& planned) { return !shard.has(planned.index); });
    const int limit = calls + stop_after;
    const auto run = [&](const PlannedExample& planned, const Configuration& configuration) {
      if (calls == limit) throw Error(ErrorCode::kCancelled, "stopped");
      return answer(planned, configuration);
    };
    complete = evaluate_all(mine, configurations, run, log, [](const EvalProgress&) {});
  }
  ScoreSummary summary(const fs::path& folder, const std::vector<std::string>& baselines = {"full"}) const {
    const Study study = read_study(folder.string());
    return summarize_scores(configurations, outcomes_of(study.results, configurations), baselines,
                            study.expected);
  }
  // The three files that hold no times.
  std::string files(const fs::path& folder) const {
    write_scores(summary(folder), read_study(folder.string()).configuration, false, folder);
    return content_of(folder / "summary.json") + content_of(folder / "summary.md") +
           content_of(folder / "summary.csv");
  }

  std::vector<PlannedExample> examples;
  std::vector<Configuration> configurations;
  StudySetup setup;
  ModelSummary model;
  int calls = 0;
  bool complete = false;
};

const Cell& cell_of(const ScoreSummary& summary, const std::string& row, size_t configuration) {
  return find_row(summary, row)->cells[configuration];
}

TEST(Evaluate, TwoRunsNeverWriteIntoOneFolder) {
  const ScratchFolder folder;
  Fixture fixture;
  {
    const StudyLog first = fixture.open(folder.path());
    try {
      fixture.open(folder.path());
      FAIL() << "the second was let in";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find("another run is writing"), std::string::npos) << error.what();
    }
  }
  fixture.evaluate(folder.path());
  EXPECT_TRUE(fixture.complete);
}

TEST(Evaluate, MeansOfMeansAndPairedDifferences) {
  const ScratchFolder folder;
  Fixture fixture;
  fixture.evaluate(folder.path());
  const ScoreSummary summary = fixture.summary(folder.path(), {"full", "claa"});
  ASSERT_EQ(summary.configurations.size(), 3u);
  EXPECT_EQ(summary.results, summary.expected);
  const Cell& full = cell_of(summary, "overall", 0);
  const Cell& low = cell_of(summary, "overall", 1);
  const Cell& high = cell_of(summary, "overall", 2);
  EXPECT_EQ(full.score.n, 36);
  EXPECT_NEAR(low.score.mean, full.score.mean / 2, 1e-6);
  EXPECT_NEAR(low.differences[0].estimate.mean, -full.score.mean / 2, 1e-6);
  EXPECT_EQ(low.differences[0].configuration, "full");
  EXPECT_EQ(high.differences[0].estimate.low, 0) << "equal answers differ by nothing, in every resample";
  EXPECT_EQ(high.differences[0].estimate.high, 0);
  EXPECT_EQ(low.differences[1].configuration, "") << "the same is no baseline";
  EXPECT_EQ(full.differences[1].configuration, "") << "full has no rate to compare at";
  double tasks = 0;
  for (const char* task : {"needle", "words", "hops"}) tasks += cell_of(summary, task, 0).score.mean / 3;
  EXPECT_NEAR(full.score.mean, tasks, 1e-9);
  EXPECT_NEAR(low.kept, .1, 1e-9);
  EXPECT_NEAR(low.ttft_ratio, .1, .01);
  EXPECT_NEAR(full.ttft_ratio, 1, 1e-9);
  ASSERT_EQ(summary.needles.size(), 3u);
  EXPECT_EQ(summary.needles[0].depths, (std::vector<double>{0, 50}));
}

TEST(Evaluate, StoppedAnywhereGoesOnToTheSameBytes) {
  const ScratchFolder whole, parts;
  Fixture fixture(2);
  fixture.evaluate(whole.path());
  EXPECT_TRUE(fixture.complete);
  const std::string expected = fixture.files(whole.path());
  for (int stops = 0; stops < 6; ++stops) {
    fixture.evaluate(parts.path(), {}, 5);
    EXPECT_FALSE(fixture.complete);
    fixture.files(parts.path());  // writes a summary of the results so far
    std::ofstream(parts.path() / kResultsFile, std::ios::app) << "{\"index\":3,\"id\":\"cut o";
  }
  const int before = fixture.calls;
  fixture.evaluate(parts.path());
  EXPECT_TRUE(fixture.complete);
  EXPECT_EQ(fixture.calls - before, 36 - 30) << "nothing is answered twice";
  EXPECT_EQ(fixture.files(parts.path()), expected);
}

TEST(Evaluate, AnotherConfigurationIsRefused) {
  const ScratchFolder folder;
  Fixture fixture(1);
  fixture.evaluate(folder.path());
  fixture.setup.lengths = {200};
  expect_error(ErrorCode::kInvalidArgument, "lengths was [100], is [200]",
               [&] { fixture.open(folder.path()); });
  Fixture other(1);
  other.examples[0].example.prompt += "!";
  expect_error(ErrorCode::kInvalidArgument, "examples_fingerprint was", [&] { other.open(folder.path()); });
  Fixture model(1);
  model.model.fingerprint = 7;
  expect_error(ErrorCode::kInvalidArgument, "model_fingerprint was", [&] { model.open(folder.path()); });
}

TEST(Evaluate, ShardsMergeToTheBytesOfOneRun) {
  const ScratchFolder whole, a, b, c, merged;
  Fixture fixture(2);
  fixture.evaluate(whole.path());
  fixture.evaluate(a.path(), {1, 3});
  fixture.evaluate(b.path(), {2, 3});
  fixture.evaluate(c.path(), {3, 3}, 2);
  const std::string names[] = {a.path().string(), b.path().string(), c.path().string()};
  expect_error(ErrorCode::kInvalidArgument, "has 2 of 12 results", [&] {
    merge_studies({names[0], names[1], names[2]});
  });
  fixture.evaluate(c.path(), {3, 3});
  expect_error(ErrorCode::kInvalidArgument, "missing shards: 2/3", [&] {
    merge_studies({names[0], names[2]});
  });
  expect_error(ErrorCode::kInvalidArgument, "both hold shard 1/3", [&] {
    merge_studies({names[0], names[1], names[0]});
  });
  std::ofstream(merged.path() / kResultsFile) << study_text(merge_studies({names[2], names[0], names[1]}));
  EXPECT_EQ(fixture.files(merged.path()), fixture.files(whole.path()));
  fixture.setup.examples = 5;
  const ScratchFolder other;
  fixture.evaluate(other.path(), {3, 3});
  expect_error(ErrorCode::kInvalidArgument, "examples differs", [&] {
    merge_studies({names[0], names[1], other.path().string()});
  });
}

TEST(Evaluate, OtherConfigurationsOfTheSameExamplesJoin) {
  const ScratchFolder whole, one, a, b, merged, stranger;
  Fixture all(2), first(2), second(2);
  first.configurations = make_configurations({{"full", "claa"}, {"0.1"}, {}, ""});
  second.configurations = make_configurations({{"claa"}, {"0.4"}, {}, ""});
  all.evaluate(whole.path());
  first.evaluate(one.path());
  second.evaluate(a.path(), {1, 2});
  second.evaluate(b.path(), {2, 2});
  const std::string names[] = {one.path().string(), a.path().string(), b.path().string()};
  std::ofstream(merged.path() / kResultsFile) << study_text(merge_studies({names[0], names[2], names[1]}));
  EXPECT_EQ(all.files(merged.path()), all.files(whole.path()));
  expect_error(ErrorCode::kInvalidArgument, "missing shards: 2/2", [&] {
    merge_studies({names[0], names[1]});
  });

  Fixture same(2);
  same.configurations = make_configurations({{"claa"}, {"0.1"}, {{"window", "3"}}, ""});
  same.evaluate(stranger.path());
  expect_error(ErrorCode::kInvalidArgument, "both have a configuration 'claa 0.1'", [&] {
    merge_studies({names[0], stranger.path().string()});
  });
}

TEST(Evaluate, DuplicateResultsAreRefused) {
  const ScratchFolder folder;
  Fixture fixture(1);
  fixture.evaluate(folder.path());
  const std::string text = content_of(folder.path() / kResultsFile);
  const size_t last = text.rfind('\n', text.size() - 2);
  std::ofstream(folder.path() / kResultsFile, std::ios::app) << text.substr(last + 1);
  expect_error(ErrorCode::kCorruptFile, "two results", [&] { read_study(folder.path().string()); });
}

TEST(Evaluate, WhatIsNotAnsweredIsCountedAndNotAveraged) {
  Fixture fixture(2);
  std::vector<Outcome> outcomes;
  for (const PlannedExample& planned : fixture.examples) {
    for (const Configuration& configuration : fixture.configurations) {
      Outcome outcome = fixture.answer(planned, configuration);
      outcome.score = 1;
      if (planned.index == 0) outcome.status = Status::kSkipped;
      if (planned.index == 1) outcome.status = Status::kError, outcome.score = 0;
      outcome.configuration = configuration.label;
      outcomes.push_back(outcome);
    }
  }
  const ScoreSummary summary = summarize_scores(fixture.configurations, outcomes, {"full"}, 36);
  const Cell& cell = cell_of(summary, "needle", 1);
  EXPECT_EQ(cell.skipped, 1);
  EXPECT_EQ(cell.errors, 1);
  EXPECT_EQ(cell.score.n, 2);
  EXPECT_DOUBLE_EQ(cell.score.mean, 100);
  EXPECT_EQ(summary.problems.size(), 6u);
  EXPECT_NE(completeness(summary).find("3 skipped"), std::string::npos) << completeness(summary);
  const std::vector<Verdict> verdicts = check_thresholds(summary, {{"full", "needle", "score", 50, {}}});
  EXPECT_FALSE(verdicts[0].passed) << "a gate does not pass by failing to answer";
}

TEST(Evaluate, ThresholdsAreJudged) {
  const ScratchFolder folder;
  Fixture fixture;
  fixture.evaluate(folder.path());
  const ScoreSummary summary = fixture.summary(folder.path());
  const double score = cell_of(summary, "overall", 0).score.mean;
  const auto verdicts = check_thresholds(summary, {{"full", "overall", "score", score - 1, score + 1},
                                                   {"claa 0.1", "overall", "score", score - 1, {}},
                                                   {"claa 0.1", "ruler", "difference", {}, -1},
                                                   {"claa 0.1", "overall", "kl", {}, 1},
                                                   {"nobody", "overall", "score", 1, {}}});
  std::vector<bool> passed;
  for (const Verdict& verdict : verdicts) passed.push_back(verdict.passed);
  EXPECT_EQ(passed, (std::vector<bool>{true, false, true, false, false}));
  EXPECT_NE(markdown(verdict_table(verdicts)).find("MISSED"), std::string::npos);
  expect_error(ErrorCode::kInvalidArgument, "unknown metric 'f1'", [&] {
    check_thresholds(summary, {{"full", "overall", "f1", 1, {}}});
  });
}

TEST(Evaluate, ReportHasPicturesAndRefersToNothingOutside) {
  const ScratchFolder folder;
  Fixture fixture(4);
  fixture.evaluate(folder.path());
  write_scores(fixture.summary(folder.path()), read_study(folder.path().string()).configuration, true,
               folder.path());
  for (const char* name : {"score_ttft.svg", "needle_00.svg", "needle_02.png", "timing.json", "timing.csv"})
    EXPECT_GT(fs::file_size(folder.path() / name), 0u) << name;
  std::string page = content_of(folder.path() / "report.html");
  EXPECT_NE(page.find("model_fingerprint"), std::string::npos);
  EXPECT_NE(page.find("Figure 4."), std::string::npos);
  for (size_t at; (at = page.find("http://www.w3.org")) != std::string::npos;) page.erase(at, 17);
  EXPECT_EQ(page.find("http"), std::string::npos);
  EXPECT_EQ(content_of(folder.path() / "summary.json").find("ttft"), std::string::npos);
  EXPECT_NE(content_of(folder.path() / "summary.csv").find("model_fingerprint"), std::string::npos);
}

TEST(Evaluate, UnknownBaselinesAndShardsAreRefused) {
  Fixture fixture(1);
  expect_error(ErrorCode::kInvalidArgument, "baseline 'snapkv'",
               [&] { summarize_scores(fixture.configurations, {}, {"snapkv"}, 0); });
  for (const char* text : {"", "1", "0/2", "3/2", "a/b", "1/2x", "1/", "/2", "1:2", "-1/2"})
    expect_error(ErrorCode::kInvalidArgument, "a shard is written", [&] { parse_shard(text); });
  EXPECT_TRUE(parse_shard("2/3").has(4));
  EXPECT_FALSE(parse_shard("2/3").has(3));
}

TEST(Evaluate, SkipsTheFirstOfEachTaskAndLength) {
  TaskOptions options;
  options.examples = 2, options.skip = 3;
  std::vector<std::string> ids;
  for (const PlannedExample& planned : plan_examples(fake_tasks(), options, {1})) {
    EXPECT_EQ(planned.index, static_cast<int64_t>(ids.size()));
    ids.push_back(planned.example.id);
  }
  EXPECT_EQ(ids,
            (std::vector<std::string>{"needle/3", "needle/4", "words/3", "words/4", "hops/3", "hops/4"}));
  std::vector<TaskInfo> few = fake_tasks();
  for (TaskInfo& task : few) {
    task.make = [make = task.make](TaskOptions asked) {
      asked.examples = 3;
      return make(asked);
    };
  }
  expect_error(ErrorCode::kInvalidArgument, "has 3 examples, none after those left out by skip 3",
               [&] { plan_examples(few, options, {1}); });
}

TEST(Evaluate, IdsTwiceAndTasksWithoutExamplesAreRefused) {
  std::vector<TaskInfo> tasks = fake_tasks();
  tasks.push_back(tasks[0]);
  TaskOptions options;
  expect_error(ErrorCode::kInvalidArgument, "the id 'needle/0'", [&] { plan_examples(tasks, options, {1}); });
  options.examples = 0;
  expect_error(ErrorCode::kInvalidArgument, "has no examples",
               [&] { plan_examples(fake_tasks(), options, {1}); });
}

}  // namespace
}  // namespace claa::eval
