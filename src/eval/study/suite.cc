#include "eval/study/suite.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "eval/stats/statistics.h"
#include "eval/study/json_file.h"

namespace claa::eval {
namespace {

constexpr std::string_view kMetrics[] = {"score", "difference", "kl", "top1", "top5", "perplexity"};

void check_metric(const std::string& metric, const std::string& where) {
  if (std::find(std::begin(kMetrics), std::end(kMetrics), metric) == std::end(kMetrics)) {
    fail(ErrorCode::kInvalidArgument,
         "{}unknown metric '{}'; there are score, difference, kl, top1, top5 and perplexity", where, metric);
  }
}

Threshold read_threshold(const JsonObject& object) {
  object.allow({"configuration", "row", "metric", "at_least", "at_most"});
  Threshold threshold;
  threshold.configuration = object.text("configuration");
  threshold.row = object.text("row");
  threshold.metric = object.text("metric", "score");
  check_metric(threshold.metric, object.where() + ": ");
  if (object.has("at_least")) threshold.at_least = object.number("at_least");
  if (object.has("at_most")) threshold.at_most = object.number("at_most");
  if (!threshold.at_least && !threshold.at_most)
    fail(ErrorCode::kInvalidArgument, "{}: give 'at_least' or 'at_most'", object.where());
  return threshold;
}

double value_of(const ScoreSummary& summary, const Threshold& threshold) {
  const ScoreRow* row = find_row(summary, threshold.row);
  if (row == nullptr) return kNaN;
  for (size_t i = 0; i < row->cells.size(); ++i) {
    if (summary.configurations[i].label != threshold.configuration) continue;
    const Cell& cell = row->cells[i];
    // An example without an answer counts as a wrong one: a gate that skipped it would pass by failing.
    if (cell.errors > 0 || cell.skipped > 0) return kNaN;
    if (threshold.metric == "score") return cell.score.mean;
    if (threshold.metric == "difference")
      return cell.differences.empty() ? kNaN : cell.differences[0].estimate.mean;
    for (const auto& [name, estimate] : cell.metrics) {
      if (name == threshold.metric) return estimate.mean;
    }
  }
  return kNaN;
}

}  // namespace

Suite read_suite(const std::string& path) {
  const JsonObject file = JsonObject::read(path);
  file.allow({"about", "tasks", "lengths", "examples", "seeds", "methods", "keep", "set", "baselines", "data",
              "haystack", "sweep", "profile", "thresholds"});
  Suite suite;
  const auto texts = [&](const char* name, std::vector<std::string>& values) {
    if (file.has(name)) values = file.texts(name);
  };
  texts("tasks", suite.tasks);
  texts("methods", suite.methods);
  texts("keep", suite.keeps);
  texts("set", suite.set);
  texts("baselines", suite.baselines);
  if (file.has("lengths")) suite.lengths = file.integers("lengths");
  if (file.has("examples")) suite.examples = static_cast<int64_t>(file.number("examples"));
  if (file.has("seeds")) {
    for (const int64_t seed : file.integers("seeds")) suite.seeds.push_back(static_cast<uint64_t>(seed));
  }
  suite.data = beside(path, file.text("data", ""));
  suite.haystack = beside(path, file.text("haystack", ""));
  suite.sweep = beside(path, file.text("sweep", ""));
  suite.profile = file.text("profile", "");
  if (suite.profile != "auto" && suite.profile != "none") suite.profile = beside(path, suite.profile);
  if (file.has("thresholds")) {
    for (const JsonObject& entry : file.objects("thresholds"))
      suite.thresholds.push_back(read_threshold(entry));
  }
  return suite;
}

std::vector<Verdict> check_thresholds(const ScoreSummary& summary, const std::vector<Threshold>& thresholds) {
  std::vector<Verdict> verdicts;
  for (const Threshold& threshold : thresholds) {
    check_metric(threshold.metric, "");
    Verdict verdict{threshold, value_of(summary, threshold), false};
    verdict.passed = std::isfinite(verdict.value) &&
                     verdict.value >= threshold.at_least.value_or(-INFINITY) &&
                     verdict.value <= threshold.at_most.value_or(INFINITY);
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

TextTable verdict_table(const std::vector<Verdict>& verdicts) {
  TextTable table{
      "Thresholds", {"configuration", "row", "metric", "#value", "#at least", "#at most", "verdict"}, {}};
  const auto bound = [](const std::optional<double>& value) {
    return value ? fmt::format("{:g}", *value) : std::string("");
  };
  for (const Verdict& verdict : verdicts) {
    const Threshold& threshold = verdict.threshold;
    table.rows.push_back({threshold.configuration, threshold.row, threshold.metric,
                          std::isfinite(verdict.value) ? fmt::format("{:.4g}", verdict.value) : "none",
                          bound(threshold.at_least), bound(threshold.at_most),
                          verdict.passed                 ? "passed"
                          : std::isfinite(verdict.value) ? "MISSED"
                                                         : "MISSED: not measured, or not by every example"});
  }
  return table;
}

}  // namespace claa::eval
