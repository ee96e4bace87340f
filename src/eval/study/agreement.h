// How close a method's next-token distributions are to those of `full` on plain text. Both are fed the same
// tokens, step by step, after prefilling the same beginning of a text: the two never drift apart, so that
// every step compares the same question.
#pragma once

#include <atomic>
#include <optional>

#include "claa/engine.h"
#include "eval/study/plan.h"

namespace claa::eval {

// Two tasks like any other: "agreement" continues along the text itself, "agreement_own" along the greedy
// answer of `full`. They take the texts of --haystack, or else the .txt files of `data`, in pieces that do
// not overlap.
std::vector<TaskInfo> agreement_tasks();
inline constexpr const char* kAgreementGroup = "agreement";
bool is_agreement(const Example& example);

// Natural logarithms of the softmax of logits, computed in f64.
std::vector<float> log_softmax(const std::vector<float>& logits);

// Sums over the steps of one example.
struct StepSums {
  double kl = 0;    // KL(full || method), nats
  double top1 = 0;  // both name the same best token
  double top5 = 0;  // the best token of full is among the method's five best
  double nll = 0;   // of the token that was fed, in nats; exp of the mean is the perplexity
  int64_t steps = 0;
  void add(const std::vector<float>& full, const std::vector<float>& method, int32_t token);
  std::map<std::string, double> means() const;
};

// Measures configurations example by example; the results of `full` are kept until the next example.
class AgreementMeter {
 public:
  AgreementMeter(Engine& engine, const std::atomic<bool>* cancel) : engine_(engine), cancel_(cancel) {}
  // Fills score (top1), metrics and counts. `request` has method and parameters. Throws Error.
  void measure(const PlannedExample& planned, Request request, Outcome& outcome);

 private:
  struct Reference {
    int64_t index = -1;
    std::vector<int32_t> prompt, tokens;
    std::vector<std::vector<float>> steps;  // log-probabilities, empty until `full` has run
    std::optional<Answer> answer;
  };
  void prepare(const PlannedExample& planned);
  Engine& engine_;
  const std::atomic<bool>* cancel_;
  Reference reference_;
};

}  // namespace claa::eval
