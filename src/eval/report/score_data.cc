#include <fmt/format.h>

#include <cmath>
#include <set>

#include "eval/report/score_files.h"
#include "output/csv.h"
#include "output/json.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

// Four digits, which is far more precise than the intervals. Null for a value that is not a number, which
// JSON lacks.
json::value rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::round(value * 1e4) / 1e4;
}

json::object estimate_json(const Estimate& estimate) {
  return {{"n", estimate.n},
          {"mean", rounded(estimate.mean)},
          {"low", rounded(estimate.low)},
          {"high", rounded(estimate.high)}};
}

json::object cell_json(const Cell& cell, const std::string& label) {
  json::object differences, metrics;
  for (const Difference& difference : cell.differences) {
    if (difference.configuration.empty()) continue;
    json::object one = estimate_json(difference.estimate);
    one["configuration"] = difference.configuration;
    differences[difference.baseline] = std::move(one);
  }
  for (const auto& [name, estimate] : cell.metrics) metrics[name] = estimate_json(estimate);
  return {{"configuration", label},
          {"score", estimate_json(cell.score)},
          {"skipped", cell.skipped},
          {"errors", cell.errors},
          {"mean_tokens", rounded(cell.tokens)},
          {"kept_share", rounded(cell.kept)},
          {"metrics", std::move(metrics)},
          {"differences", std::move(differences)}};
}

template <typename Make>
json::array rows_json(const ScoreSummary& summary, Make make) {
  json::array rows;
  for (const ScoreRow& row : summary.rows) {
    json::array cells;
    for (size_t i = 0; i < row.cells.size(); ++i)
      cells.push_back(make(row.cells[i], summary.configurations[i].label));
    rows.push_back(json::object{{"level", level_name(row.level)},
                                {"name", row.name},
                                {"group", row.group},
                                {"cells", std::move(cells)}});
  }
  return rows;
}

std::string csv_number(double value) {
  return std::isfinite(value) ? fmt::format("{:.4f}", value) : "";
}

std::string csv_estimate(const Estimate& estimate) {
  return fmt::format(",{},{},{}", csv_number(estimate.mean), csv_number(estimate.low),
                     csv_number(estimate.high));
}

std::set<std::string> metric_names(const ScoreSummary& summary) {
  std::set<std::string> names;
  for (const ScoreRow& row : summary.rows) {
    for (const Cell& cell : row.cells) {
      for (const auto& [name, estimate] : cell.metrics) names.insert(name);
    }
  }
  return names;
}

// CSV has no place for the configuration except a comment.
std::string csv_head(const json::object& configuration) {
  return csv_comment(json_text(configuration));
}

// The columns of an estimate.
std::string csv_columns(const std::string& name) {
  return fmt::format(",{},{},{}", csv_field(name), csv_field(name + " low"), csv_field(name + " high"));
}

std::string csv_key(const ScoreSummary& summary, const ScoreRow& row, size_t i) {
  const Configuration& configuration = summary.configurations[i];
  return fmt::format("{},{},{},{},{},{}", level_name(row.level), csv_field(row.name), csv_field(row.group),
                     csv_field(configuration.label), csv_field(configuration.method),
                     csv_field(configuration.keep));
}

}  // namespace

json::object summary_json(const ScoreSummary& summary, const json::object& configuration) {
  json::array problems;
  for (const Outcome& outcome : summary.problems) {
    problems.push_back(json::object{{"id", outcome.id},
                                    {"seed", outcome.seed},
                                    {"configuration", outcome.configuration},
                                    {"status", status_name(outcome.status)},
                                    {"reason", outcome.reason}});
  }
  return {{"configuration", configuration},
          {"results", summary.results},
          {"expected", summary.expected},
          {"interval", json::object{{"level", 0.95},
                                    {"method", "bootstrap percentile, examples resampled within each task"},
                                    {"resamples", kResamples},
                                    {"seed", kBootstrapSeed}}},
          {"rows", rows_json(summary, cell_json)},
          {"problems", std::move(problems)}};
}

json::object timing_json(const ScoreSummary& summary, const json::object& configuration) {
  const auto cell = [](const Cell& cell, const std::string& label) {
    return json::object{{"configuration", label},
                        {"ttft_ms", rounded(cell.ttft_ms)},
                        {"ttft_ratio", rounded(cell.ttft_ratio)},
                        {"pairs", cell.ttft_ratios}};
  };
  return {{"configuration", configuration}, {"rows", rows_json(summary, cell)}};
}

std::string summary_csv(const ScoreSummary& summary, const json::object& configuration) {
  const std::set<std::string> metrics = metric_names(summary);
  std::string csv = csv_head(configuration);
  csv += "level,name,group,configuration,method,keep,n,skipped,errors,score,low,high";
  for (const std::string& baseline : summary.baselines) csv += csv_columns("difference from " + baseline);
  for (const std::string& name : metrics) csv += csv_columns(name);
  csv += "\n";
  for (const ScoreRow& row : summary.rows) {
    for (size_t i = 0; i < row.cells.size(); ++i) {
      const Cell& cell = row.cells[i];
      csv += csv_key(summary, row, i) + fmt::format(",{},{},{}", cell.score.n, cell.skipped, cell.errors);
      csv += csv_estimate(cell.score);
      for (const Difference& difference : cell.differences) csv += csv_estimate(difference.estimate);
      for (const std::string& name : metrics) {
        Estimate found{NAN, NAN, NAN, 0};
        for (const auto& [other, estimate] : cell.metrics) found = other == name ? estimate : found;
        csv += csv_estimate(found);
      }
      csv += "\n";
    }
  }
  return csv;
}

std::string timing_csv(const ScoreSummary& summary, const json::object& configuration) {
  std::string csv =
      csv_head(configuration) + "level,name,group,configuration,method,keep,ttft_ms,ttft_ratio,pairs\n";
  for (const ScoreRow& row : summary.rows) {
    for (size_t i = 0; i < row.cells.size(); ++i) {
      const Cell& cell = row.cells[i];
      csv += fmt::format("{},{},{},{}\n", csv_key(summary, row, i), csv_number(cell.ttft_ms),
                         csv_number(cell.ttft_ratio), cell.ttft_ratios);
    }
  }
  return csv;
}

}  // namespace claa::eval
