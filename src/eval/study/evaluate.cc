#include "eval/study/evaluate.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/check.h"
#include "core/counts.h"

namespace claa::eval {
namespace {

Outcome blank_outcome(const PlannedExample& planned, const Configuration& configuration) {
  Outcome outcome;
  outcome.index = planned.index;
  outcome.id = planned.example.id;
  outcome.task = planned.example.task;
  outcome.group = planned.example.group;
  outcome.seed = planned.seed;
  outcome.facets = planned.example.facets;
  outcome.prompt_hash = prompt_hash(planned.example);
  outcome.configuration = configuration.label;
  outcome.method = configuration.method;
  outcome.params = configuration.effective;
  return outcome;
}

double keep_of(const std::vector<std::pair<std::string, std::string>>& params) {
  for (const auto& [name, value] : params) {
    if (name == "keep") return std::stod(value);
  }
  return 1;
}

// A random method draws anew for every seed of the evaluation, unless its own seed is set.
ParamValues params_of(const Configuration& configuration, uint64_t seed) {
  ParamValues params = configuration.params;
  for (const auto& [name, value] : configuration.effective) {
    if (name == "seed" && params.count(name) == 0) params[name] = std::to_string(seed);
  }
  return params;
}

}  // namespace

Outcome Evaluator::run(const PlannedExample& planned, const Configuration& configuration) {
  Outcome outcome = blank_outcome(planned, configuration);
  Request request;
  request.prompt = planned.example.prompt;
  request.answer_prefix = planned.example.answer_prefix;
  request.raw = !planned.example.chat;
  request.method = configuration.method;
  request.params = params_of(configuration, planned.seed);
  request.max_tokens = planned.example.max_tokens;
  request.cancel = cancel_;
  try {
    outcome.tokens = static_cast<int64_t>(engine_.tokenize(request).size());
    if (outcome.tokens + request.max_tokens > engine_.model().context) {
      fail(ErrorCode::kContextExceeded, "{} tokens and an answer of {} do not fit the context of {}",
           group_digits(outcome.tokens), group_digits(request.max_tokens),
           group_digits(engine_.model().context));
    }
    answer(planned, std::move(request), outcome);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) throw;
    outcome.status = error.code() == ErrorCode::kContextExceeded ? Status::kSkipped : Status::kError;
    outcome.reason = error.what();
  }
  outcome.keep = keep_of(outcome.params);
  return outcome;
}

void Evaluator::answer(const PlannedExample& planned, Request request, Outcome& outcome) {
  if (is_agreement(planned.example)) return agreement_.measure(planned, std::move(request), outcome);
  const Answer answer = engine_.answer(request);
  outcome.prediction = answer.text;
  outcome.params = answer.prefill.params;
  if (const auto& signals = answer.prefill.signals) {
    outcome.signals = {{"outside", signals->outside},
                       {"entropy", signals->entropy},
                       {"agreement", signals->agreement},
                       {"confidence", signals->confidence}};
  }
  outcome.kept_tokens = answer.kept_tokens;
  outcome.output_tokens = static_cast<int64_t>(answer.tokens.size());
  outcome.ttft_ms = answer.timings.first_token;
  outcome.score = score_(planned.example, answer.text);
}

bool evaluate_all(const std::vector<PlannedExample>& examples,
                  const std::vector<Configuration>& configurations, const RunExample& run, StudyLog& log,
                  const std::function<void(const EvalProgress&)>& on_progress) {
  std::set<std::pair<int64_t, std::string>> finished;
  for (const boost::json::object& result : log.results()) {
    const Outcome outcome = of_log(log.path(), [&] { return outcome_from_json(result); });
    finished.insert({outcome.index, outcome.configuration});
  }
  EvalProgress progress{finished.size(), examples.size() * configurations.size(), 0, nullptr, nullptr};
  for (const PlannedExample& example : examples) {
    for (const Configuration& configuration : configurations) {
      if (finished.count({example.index, configuration.label}) != 0) continue;
      progress.example = &example;
      progress.configuration = &configuration;
      on_progress(progress);
      try {
        log.add(to_json(run(example, configuration)));
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kCancelled) return false;
        throw;
      }
      ++progress.done;
      ++progress.timed;
    }
  }
  progress.example = nullptr;
  progress.configuration = nullptr;
  on_progress(progress);
  return true;
}

std::vector<Outcome> outcomes_of(const std::vector<boost::json::object>& results,
                                 const std::vector<Configuration>& configurations) {
  std::map<std::string, size_t> order;
  for (const Configuration& configuration : configurations) order.emplace(configuration.label, order.size());
  std::vector<Outcome> outcomes;
  for (const boost::json::object& result : results) outcomes.push_back(outcome_from_json(result));
  std::stable_sort(outcomes.begin(), outcomes.end(), [&](const Outcome& a, const Outcome& b) {
    return std::pair(a.index, order[a.configuration]) < std::pair(b.index, order[b.configuration]);
  });
  return outcomes;
}

}  // namespace claa::eval
