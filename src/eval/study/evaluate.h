// Runs an evaluation: every example by every configuration; results are written one by one.
#pragma once

#include <atomic>
#include <functional>

#include "eval/study/agreement.h"
#include "eval/study/plan.h"
#include "eval/study/study_log.h"

namespace claa::eval {

using Scorer = std::function<double(const Example&, std::string_view prediction)>;

// Answers single examples with a model.
class Evaluator {
 public:
  Evaluator(Engine& engine, Scorer score, const std::atomic<bool>* cancel)
      : engine_(engine), score_(std::move(score)), cancel_(cancel), agreement_(engine, cancel) {}
  // A failure is part of the outcome; only an interruption (Error{kCancelled}) is thrown.
  Outcome run(const PlannedExample& planned, const Configuration& configuration);

 private:
  void answer(const PlannedExample& planned, Request request, Outcome& outcome);
  Engine& engine_;
  Scorer score_;
  const std::atomic<bool>* cancel_;
  AgreementMeter agreement_;
};

struct EvalProgress {
  size_t done = 0, total = 0;
  size_t timed = 0;  // how many of `done` were timed in this run, not in an earlier one
  const PlannedExample* example = nullptr;
  const Configuration* configuration = nullptr;
};

using RunExample = std::function<Outcome(const PlannedExample&, const Configuration&)>;

// Adds what the log lacks. Examples are the outer loop, so that a stopped run has every configuration's
// answers to the same examples. Returns false when interrupted.
bool evaluate_all(const std::vector<PlannedExample>& examples,
                  const std::vector<Configuration>& configurations, const RunExample& run, StudyLog& log,
                  const std::function<void(const EvalProgress&)>& on_progress);

// Results in the order of the plan, whatever order they were written in.
std::vector<Outcome> outcomes_of(const std::vector<boost::json::object>& results,
                                 const std::vector<Configuration>& configurations);

}  // namespace claa::eval
