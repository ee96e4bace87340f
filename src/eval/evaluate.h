// Runs an evaluation: every example by every configuration, results written one by one.
#pragma once

#include <atomic>
#include <functional>

#include "eval/agreement.h"
#include "eval/plan.h"
#include "eval/study_log.h"

namespace claa::eval {

using Scorer = std::function<double(const Example&, std::string_view prediction)>;

// Answers single examples with a model.
class Evaluator {
 public:
  Evaluator(Engine& engine, Scorer score, const std::atomic<bool>* cancel)
      : engine_(engine), score_(std::move(score)), cancel_(cancel), agreement_(engine, cancel) {}
  // What goes wrong is part of the outcome; only an interruption (Error{kCancelled}) is thrown.
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
  size_t timed = 0;  // of those done, how many now and not in an earlier run
  const PlannedExample* example = nullptr;
  const Configuration* configuration = nullptr;
};

using RunExample = std::function<Outcome(const PlannedExample&, const Configuration&)>;

// Adds to the log what it lacks, examples outermost, so that a stopped run has every configuration's answers
// to the same examples. False when it was interrupted.
bool evaluate_all(const std::vector<PlannedExample>& examples,
                  const std::vector<Configuration>& configurations, const RunExample& run, StudyLog& log,
                  const std::function<void(const EvalProgress&)>& on_progress);

// Results in the order of the plan, whatever order they were written in.
std::vector<Outcome> outcomes_of(const std::vector<boost::json::object>& results,
                                 const std::vector<Configuration>& configurations);

}  // namespace claa::eval
