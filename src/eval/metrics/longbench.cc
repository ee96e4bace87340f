// The metric of each LongBench task.
#include <algorithm>
#include <array>

#include "core/check.h"
#include "eval/metrics/metric_text.h"
#include "eval/metrics/metrics.h"

namespace claa::eval {
namespace {

enum class Metric { kQaF1, kRougeL, kClassification, kCount, kRetrieval, kCodeSim };

struct Task {
  std::string_view name;
  Metric metric;
  bool first_line = false;  // models continue with further examples; only the first line counts
};

constexpr std::array kPublished = {
    Task{"narrativeqa", Metric::kQaF1},
    Task{"qasper", Metric::kQaF1},
    Task{"multifieldqa_en", Metric::kQaF1},
    Task{"hotpotqa", Metric::kQaF1},
    Task{"2wikimqa", Metric::kQaF1},
    Task{"musique", Metric::kQaF1},
    Task{"gov_report", Metric::kRougeL},
    Task{"qmsum", Metric::kRougeL},
    Task{"multi_news", Metric::kRougeL},
    Task{"trec", Metric::kClassification, true},
    Task{"triviaqa", Metric::kQaF1, true},
    Task{"samsum", Metric::kRougeL, true},
    Task{"lsht", Metric::kClassification, true},
    Task{"passage_count", Metric::kCount},
    Task{"passage_retrieval_en", Metric::kRetrieval},
    Task{"lcc", Metric::kCodeSim},
    Task{"repobench-p", Metric::kCodeSim},
};

const Task& task_named(std::string_view name) {
  for (const Task& task : kPublished) {
    if (task.name == name) return task;
  }
  std::string names;
  for (const Task& task : kPublished) names += (names.empty() ? "" : ", ") + std::string(task.name);
  fail(ErrorCode::kInvalidArgument, "LongBench task \"{}\" has no metric; those that have one: {}", name,
       names);
}

double score_of(Metric metric, std::string_view prediction, std::string_view answer,
                std::span<const std::string> all_classes, const RougeOptions& rouge) {
  switch (metric) {
    case Metric::kQaF1:
      return qa_f1(prediction, answer);
    case Metric::kRougeL:
      return rouge_l(prediction, answer, rouge);
    case Metric::kClassification:
      return classification_score(prediction, answer, all_classes);
    case Metric::kCount:
      return count_score(prediction, answer);
    case Metric::kRetrieval:
      return retrieval_score(prediction, answer);
    case Metric::kCodeSim:
      return code_sim_score(prediction, answer);
  }
  fail(ErrorCode::kInternal, "metric {} has no function", static_cast<int>(metric));
}

}  // namespace

std::vector<std::string_view> longbench_tasks() {
  std::vector<std::string_view> names;
  for (const Task& task : kPublished) names.push_back(task.name);
  return names;
}

double longbench_score(std::string_view task_name, std::string_view prediction,
                       std::span<const std::string> answers, std::span<const std::string> all_classes,
                       const RougeOptions& rouge) {
  const Task& task = task_named(task_name);
  std::string_view text = prediction;
  if (task.first_line) {
    text = without_leading_newlines(text);
    text = text.substr(0, std::min(text.find('\n'), text.size()));
  }
  double best = 0;
  for (const std::string& answer : answers) {
    best = std::max(best, score_of(task.metric, text, answer, all_classes, rouge));
  }
  return best;
}

}  // namespace claa::eval
