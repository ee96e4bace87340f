// Next-token agreement: its arithmetic, its texts, and the real model against itself.
#include "eval/study/agreement.h"

#include <cmath>

#include "eval/study/evaluate.h"
#include "eval_support.h"
#include "paths.h"

namespace claa::eval {
namespace {

const std::string kModel = test_model();
const std::string kText = source_file("examples/document.txt");

TEST(Agreement, LogSoftmaxIsStable) {
  const std::vector<float> result = log_softmax({1000, 1000, -1000});
  EXPECT_FLOAT_EQ(result[0], std::log(.5f));
  EXPECT_FLOAT_EQ(result[1], std::log(.5f));
  EXPECT_NEAR(result[2], -2000.7, .1);
}

TEST(Agreement, SumsOfTwoSteps) {
  const std::vector<float> p = log_softmax({std::log(.7f), std::log(.2f), std::log(.1f)});
  const std::vector<float> q = log_softmax({std::log(.25f), std::log(.5f), std::log(.25f)});
  StepSums sums;
  sums.add(p, q, 2);
  sums.add(p, p, 0);
  const auto means = sums.means();
  const double kl = .7 * std::log(.7 / .25) + .2 * std::log(.2 / .5) + .1 * std::log(.1 / .25);
  EXPECT_NEAR(means.at("kl"), kl / 2, 1e-6);
  EXPECT_DOUBLE_EQ(means.at("top1"), .5);
  EXPECT_DOUBLE_EQ(means.at("top5"), 1);
  EXPECT_NEAR(means.at("nll"), -(std::log(.25) + std::log(.7)) / 2, 1e-6);
}

TEST(Agreement, FiveBestAreFive) {
  std::vector<float> full(8, 0), method(8, 0);
  full[5] = 1;
  method = {9, 8, 7, 6, 0, 5, 0, 0};
  StepSums sums;
  sums.add(log_softmax(full), log_softmax(method), 0);
  EXPECT_DOUBLE_EQ(sums.top5, 1);
  method[4] = 5;  // an equal one before it
  sums.add(log_softmax(full), log_softmax(method), 0);
  EXPECT_DOUBLE_EQ(sums.top5, 1) << "now it is the sixth";
}

TaskOptions word_options(const std::string& path) {
  TaskOptions options;
  options.haystack = path;
  options.count_tokens = [](std::string_view text) {
    int64_t words = 0;
    bool inside = false;
    for (const char c : text) {
      const bool letter = c != ' ' && c != '\n';
      words += letter && !inside ? 1 : 0;
      inside = letter;
    }
    return words;
  };
  return options;
}

TEST(Agreement, PiecesDoNotOverlapAndFollowTheText) {
  TaskOptions options = word_options(kText);
  options.lengths = {300};
  options.examples = 0;
  const std::vector<Example> examples = agreement_tasks()[0].make(options);
  EXPECT_EQ(examples.size(), 5282u / 364) << "of 5282 words";
  const std::string text = content_of(kText);
  size_t total = 0;
  for (const Example& example : examples) {
    EXPECT_EQ(options.count_tokens(example.prompt), 300);
    EXPECT_EQ(options.count_tokens(example.answers[0]), 64);
    EXPECT_NE(text.find(example.prompt + example.answers[0]), std::string::npos);
    total += example.prompt.size() + example.answers[0].size();
  }
  EXPECT_LE(total, text.size());
  options.examples = 3;
  const auto some = agreement_tasks()[0].make(options);
  ASSERT_EQ(some.size(), 3u);
  options.seed = 7;
  EXPECT_NE(agreement_tasks()[0].make(options)[0].prompt, some[0].prompt) << "a seed chooses";
}

TEST(Agreement, RefusesTooLittleText) {
  TaskOptions options = word_options("");
  expect_error(ErrorCode::kInvalidArgument, "needs a text", [&] { agreement_tasks()[0].make(options); });
  options = word_options(kText);
  options.lengths = {100000};
  expect_error(ErrorCode::kInvalidArgument, "is shorter than", [&] { agreement_tasks()[0].make(options); });
  const ScratchFolder folder;
  options = word_options(folder.path().string());
  expect_error(ErrorCode::kInvalidArgument, "no .txt files", [&] { agreement_tasks()[0].make(options); });
}

// `full` agrees with itself, as does claa at a rate of 1; at a low rate claa agrees less.
TEST(Agreement, OfTheModelWithItself) {
  EngineOptions engine_options;
  engine_options.threads = 1;
  engine_options.dtype = "int8";  // the hundreds of decode steps take half the time
  Engine engine = Engine::load(kModel, engine_options);
  TaskOptions options = word_options(kText);
  options.lengths = {60};
  options.examples = 1;
  Evaluator evaluator(
      engine, [](const Example&, std::string_view) { return 0.0; }, nullptr);
  const auto configurations =
      make_configurations({{"full", "claa"}, {"1", "0.1"}, {{"first_layer", "0"}}, ""});
  for (const TaskInfo& task : agreement_tasks()) {
    const PlannedExample planned{0, 1, task.make(options)[0]};
    const Outcome full = evaluator.run(planned, configurations[0]);
    ASSERT_EQ(full.status, Status::kOk) << full.reason;
    EXPECT_EQ(full.metrics.at("kl"), 0);
    EXPECT_EQ(full.score, 1);
    const Outcome same = evaluator.run(planned, configurations[1]);
    ASSERT_EQ(same.status, Status::kOk) << same.reason;
    EXPECT_LT(same.metrics.at("kl"), 1e-6);
    EXPECT_EQ(same.score, 1);
    EXPECT_NEAR(same.metrics.at("nll"), full.metrics.at("nll"), 1e-4);
    const Outcome less = evaluator.run(planned, configurations[2]);
    ASSERT_EQ(less.status, Status::kOk) << less.reason;
    EXPECT_GT(less.metrics.at("kl"), 1e-3);
    EXPECT_LT(less.kept_tokens, less.tokens / 5);
    EXPECT_EQ(less.output_tokens, full.output_tokens);
  }
}

TEST(Agreement, WhatDoesNotFitIsSkippedAndErrorsAreRecorded) {
  EngineOptions engine_options;
  engine_options.threads = 1;
  Engine engine = Engine::load(kModel, engine_options);
  Evaluator evaluator(
      engine, [](const Example&, std::string_view) { return 0.0; }, nullptr);
  Example example;
  example.id = example.task = example.group = "long";
  example.prompt = "word ";
  for (int i = 0; i < 13; ++i) example.prompt += example.prompt;
  const auto configurations =
      make_configurations({{"full", "claa"}, {"0.1"}, {{"selection_layer", "77"}}, ""});
  const Outcome skipped = evaluator.run({0, 1, example}, configurations[0]);
  EXPECT_EQ(skipped.status, Status::kSkipped);
  EXPECT_NE(skipped.reason.find("do not fit the context of 8,192"), std::string::npos) << skipped.reason;
  example.prompt = "short";
  const Outcome error = evaluator.run({0, 1, example}, configurations[1]);
  EXPECT_EQ(error.status, Status::kError);
  EXPECT_NE(error.reason.find("selection_layer 77"), std::string::npos) << error.reason;
}

}  // namespace
}  // namespace claa::eval
