#include <algorithm>

#include "core/check.h"
#include "eval/metrics/metrics.h"
#include "eval/tasks/task.h"

namespace claa::eval {
namespace {

constexpr std::string_view kLongBench = "longbench/";

const std::string& first_answer(const Example& example) {
  if (example.answers.empty()) {
    fail(ErrorCode::kInvalidArgument, "example '{}' has no answer to compare with", example.id);
  }
  return example.answers[0];
}

// LongEval's rule: the last run of digits is the answer.
double last_number_score(std::string_view prediction, std::string_view answer) {
  constexpr std::string_view digits = "0123456789";
  const size_t last = prediction.find_last_of(digits);
  if (last == std::string_view::npos) return 0;
  const size_t before = prediction.find_last_not_of(digits, last);
  const size_t begin = before == std::string_view::npos ? 0 : before + 1;
  return prediction.substr(begin, last + 1 - begin) == answer ? 1 : 0;
}

// BABILong's compare_answers: among the labels that the question does not name, the first sentence of the
// answer names the right one and no other. The original also cuts at "Question", which never occurs after
// lower-casing.
double babilong_score(const Example& example, std::string_view prediction) {
  const auto small = [](std::string_view text) {
    std::string lower(text);
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return lower;
  };
  std::string answer = small(prediction);
  for (const std::string_view end : {".", "<context>", "<example>"})
    answer = answer.substr(0, answer.find(end));
  const std::string target = small(first_answer(example));
  bool right = false, others = false;
  for (const std::string& label : example.classes) {
    if (answer.find(label) == std::string::npos) continue;
    (label == target ? right : others) = true;
  }
  return right && !others ? 1 : 0;
}

}  // namespace

double score(const Example& example, std::string_view prediction) {
  const std::string& metric = example.metric;
  if (metric == "ruler_all") return ruler_string_match_all(prediction, example.answers);
  if (metric == "ruler_part") return ruler_string_match_part(prediction, example.answers);
  if (metric == "contains") return ruler_string_match_part(prediction, {&first_answer(example), 1});
  if (metric == "needle") return needle_token_score(prediction, first_answer(example)).as_is;
  if (metric == "needle_stripped") return needle_token_score(prediction, first_answer(example)).stripped;
  if (metric == "last_number") return last_number_score(prediction, first_answer(example));
  if (metric == "babilong") return babilong_score(example, prediction);
  if (metric.starts_with(kLongBench)) {
    return longbench_score(std::string_view(metric).substr(kLongBench.size()), prediction, example.answers,
                           example.classes);
  }
  fail(ErrorCode::kInvalidArgument,
       "example '{}' has the unknown metric '{}'; known are ruler_all, ruler_part, contains, needle, "
       "needle_stripped, "
       "last_number, babilong and {} with one of {}",
       example.id, metric, kLongBench, fmt::join(longbench_tasks(), ", "));
}

}  // namespace claa::eval
