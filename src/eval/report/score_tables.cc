#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/counts.h"
#include "eval/report/score_files.h"

namespace claa::eval {
namespace {

std::string plain(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "-";
}

// A mean of counts.
std::string count(double value) {
  return std::isfinite(value) ? group_digits(std::llround(value)) : "-";
}

std::string with_interval(const Estimate& estimate, int digits = 1, bool sign = false) {
  if (estimate.n == 0) return "-";
  const auto shown = [&](double value) {
    return sign ? fmt::format("{:+.{}f}", value, digits) : fmt::format("{:.{}f}", value, digits);
  };
  return fmt::format("{} [{}, {}]", shown(estimate.mean), shown(estimate.low), shown(estimate.high));
}

// One row per configuration, and one column per row of the summary that `wanted` accepts; columns without
// values are left out.
template <typename Wanted, typename Show>
TextTable by_configuration(const ScoreSummary& summary, const std::string& title, Wanted wanted, Show show) {
  TextTable table{title, {"configuration"}, {}};
  std::vector<const ScoreRow*> columns;
  for (const ScoreRow& row : summary.rows) {
    if (!wanted(row)) continue;
    columns.push_back(&row);
    int64_t most = 0;
    for (const Cell& cell : row.cells) most = std::max(most, cell.score.n);
    table.columns.push_back(fmt::format("#{} (n = {})", row.name, group_digits(most)));
  }
  for (size_t i = 0; i < summary.configurations.size(); ++i) {
    std::vector<std::string> line{summary.configurations[i].label};
    for (const ScoreRow* row : columns) line.push_back(show(row->cells[i]));
    table.rows.push_back(std::move(line));
  }
  return table;
}

TextTable metrics_table(const ScoreSummary& summary) {
  std::set<std::string> names;
  for (const ScoreRow& row : summary.rows) {
    for (const Cell& cell : row.cells) {
      for (const auto& [name, estimate] : cell.metrics) names.insert(name);
    }
  }
  TextTable table{"Next tokens against those of full", {"task", "configuration"}, {}};
  for (const std::string& name : names) table.columns.push_back("#" + name);
  for (const ScoreRow& row : summary.rows) {
    if (row.level != Level::kTask) continue;
    for (size_t i = 0; i < row.cells.size(); ++i) {
      if (row.cells[i].metrics.empty()) continue;
      std::vector<std::string> line{row.name, summary.configurations[i].label};
      for (const std::string& name : names) {
        const auto& metrics = row.cells[i].metrics;
        const auto found = std::find_if(metrics.begin(), metrics.end(),
                                        [&](const auto& entry) { return entry.first == name; });
        line.push_back(found == metrics.end() ? "-" : with_interval(found->second, 3));
      }
      table.rows.push_back(std::move(line));
    }
  }
  return table;
}

TextTable kept_table(const ScoreSummary& summary) {
  TextTable table{"Counts",
                  {"configuration", "row", "#answered", "#skipped", "#errors", "#prompt tokens", "#kept %"},
                  {}};
  for (const ScoreRow& row : summary.rows) {
    if (row.level != Level::kTask) continue;
    for (size_t i = 0; i < row.cells.size(); ++i) {
      const Cell& cell = row.cells[i];
      table.rows.push_back({summary.configurations[i].label, row.name, group_digits(cell.score.n),
                            group_digits(cell.skipped), group_digits(cell.errors), count(cell.tokens),
                            plain(100 * cell.kept, 1)});
    }
  }
  return table;
}

}  // namespace

std::string completeness(const ScoreSummary& summary) {
  int64_t skipped = 0, errors = 0;
  for (const Outcome& outcome : summary.problems) {
    skipped += outcome.status == Status::kSkipped ? 1 : 0;
    errors += outcome.status == Status::kError ? 1 : 0;
  }
  return fmt::format("{} of {} results; {} skipped because they do not fit the context, {} errors{}.",
                     group_digits(summary.results), group_digits(summary.expected), group_digits(skipped),
                     group_digits(errors),
                     summary.results < summary.expected ? " (not complete: run it again to continue)" : "");
}

std::vector<TextTable> score_tables(const ScoreSummary& summary) {
  const auto wide = [](const ScoreRow& row) { return row.level != Level::kTask; };
  const auto task = [](const ScoreRow& row) { return row.level == Level::kTask; };
  const auto score = [](const Cell& cell) { return with_interval(cell.score); };
  std::vector<TextTable> tables;
  tables.push_back(by_configuration(summary, "Scores: overall and groups", wide, score));
  for (size_t b = 0; b < summary.baselines.size(); ++b) {
    const auto gain = [b](const Cell& cell) { return with_interval(cell.differences[b].estimate, 1, true); };
    tables.push_back(by_configuration(
        summary, fmt::format("Difference from {}, example by example", summary.baselines[b]), wide, gain));
  }
  tables.push_back(by_configuration(summary, "Scores: tasks", task, score));
  TextTable metrics = metrics_table(summary);
  if (!metrics.rows.empty()) tables.push_back(std::move(metrics));
  tables.push_back(kept_table(summary));
  return tables;
}

TextTable timing_table(const ScoreSummary& summary) {
  TextTable table{
      "Time to first token", {"configuration", "row", "#median ms", "#median ratio to full", "#pairs"}, {}};
  for (const ScoreRow& row : summary.rows) {
    for (size_t i = 0; i < row.cells.size(); ++i) {
      const Cell& cell = row.cells[i];
      table.rows.push_back({summary.configurations[i].label, row.name, plain(cell.ttft_ms, 1),
                            plain(cell.ttft_ratio, 3), group_digits(cell.ttft_ratios)});
    }
  }
  return table;
}

}  // namespace claa::eval
