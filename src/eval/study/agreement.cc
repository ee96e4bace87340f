#include "eval/study/agreement.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/usize.h"

namespace claa::eval {
namespace {

constexpr int64_t kBest = 5;

size_t best_of(const std::vector<float>& values) {
  return usize(std::max_element(values.begin(), values.end()) - values.begin());
}

// Number of values that come before the one at `index`; equal values are ordered by their place.
int64_t rank_of(const std::vector<float>& values, size_t index) {
  int64_t before = 0;
  for (size_t i = 0; i < values.size(); ++i)
    before += values[i] > values[index] || (values[i] == values[index] && i < index) ? 1 : 0;
  return before;
}

}  // namespace

std::vector<float> log_softmax(const std::vector<float>& logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  const double shift = most + std::log(sum);
  std::vector<float> result(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) result[i] = static_cast<float>(logits[i] - shift);
  return result;
}

void StepSums::add(const std::vector<float>& full, const std::vector<float>& method, int32_t token) {
  double divergence = 0;
  for (size_t i = 0; i < full.size(); ++i)
    divergence += std::exp(static_cast<double>(full[i])) * (static_cast<double>(full[i]) - method[i]);
  kl += std::max(0.0, divergence);  // only rounding can make it negative
  const int64_t rank = rank_of(method, best_of(full));
  top1 += rank == 0 ? 1 : 0;
  top5 += rank < kBest ? 1 : 0;
  nll -= method[usize(token)];
  ++steps;
}

std::map<std::string, double> StepSums::means() const {
  const auto count = static_cast<double>(steps);
  return {{"kl", kl / count}, {"top1", top1 / count}, {"top5", top5 / count}, {"nll", nll / count}};
}

// Decides which tokens are fed: the text's own, or the answer of `full`.
void AgreementMeter::prepare(const PlannedExample& planned) {
  if (reference_.index == planned.index) return;
  reference_ = {};
  const Example& example = planned.example;
  Request request;
  request.raw = true;
  request.cancel = cancel_;
  request.prompt = example.prompt;
  reference_.prompt = engine_.tokenize(request);
  if (example.metric == "agreement_own") {
    request.max_tokens = example.max_tokens;
    reference_.tokens = engine_.answer(request).tokens;
  } else {
    // Both are tokenised together, so that the border between them is like the rest of the text.
    request.prompt += example.answers.at(0);
    std::vector<int32_t> ids = engine_.tokenize(request);
    const auto begin = std::min(ids.size(), reference_.prompt.size());
    ids.resize(std::min(ids.size(), begin + usize(example.max_tokens)));
    reference_.tokens.assign(ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.end());
    ids.resize(begin);
    reference_.prompt = std::move(ids);
  }
  Request full;
  full.ids = reference_.prompt;
  full.cancel = cancel_;
  reference_.answer = engine_.score_continuation(
      full, reference_.tokens,
      [&](int64_t, const std::vector<float>& logits) { reference_.steps.push_back(log_softmax(logits)); });
  reference_.index = planned.index;
}

void AgreementMeter::measure(const PlannedExample& planned, Request request, Outcome& outcome) {
  prepare(planned);
  StepSums sums;
  Answer answer;
  if (request.method == "full") {
    for (size_t step = 0; step < reference_.steps.size(); ++step)
      sums.add(reference_.steps[step], reference_.steps[step], reference_.tokens[step]);
    answer = *reference_.answer;
  } else {
    request.prompt.clear();
    request.answer_prefix.clear();
    request.ids = reference_.prompt;
    answer = engine_.score_continuation(
        request, reference_.tokens, [&](int64_t step, const std::vector<float>& logits) {
          const auto at = usize(step);
          sums.add(reference_.steps[at], log_softmax(logits), reference_.tokens[at]);
        });
  }
  outcome.metrics = sums.means();
  outcome.score = outcome.metrics["top1"];
  outcome.tokens = answer.prompt_tokens;
  outcome.kept_tokens = answer.kept_tokens;
  outcome.output_tokens = sums.steps;
  outcome.ttft_ms = answer.timings.first_token;
  outcome.params = answer.prefill.params;
}

}  // namespace claa::eval
