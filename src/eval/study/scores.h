// The numbers of an evaluation: means per task, per group and over all, with intervals and differences.
#pragma once

#include <string>
#include <vector>

#include "eval/stats/bootstrap.h"
#include "eval/study/plan.h"

namespace claa::eval {

struct Difference {
  std::string baseline;       // as it was asked for
  std::string configuration;  // the configuration that it stands for here; empty: none to compare with
  Estimate estimate;          // score - baseline's score over the examples that both answered, x100
};

// One configuration in one row.
struct Cell {
  Estimate score;  // x100
  int64_t skipped = 0, errors = 0;
  double tokens = 0;  // mean number of prompt tokens
  double kept = 0;    // mean share of them computed in the last layers
  std::vector<std::pair<std::string, Estimate>>
      metrics;                          // "kl", "top1", "top5", "perplexity": see agreement.h
  std::vector<Difference> differences;  // in the order of the baselines
  double ttft_ms = 0;                   // median; NaN without values
  double ttft_ratio = 0;                // median of the ratios to `full`, example by example; NaN without
  int64_t ttft_ratios = 0;              // number of ratios
};

enum class Level { kTask, kGroup, kOverall };
const char* level_name(Level level);

struct ScoreRow {
  Level level = Level::kTask;
  std::string name, group;
  std::vector<Cell> cells;  // in the order of the configurations
};

// A needle's depth against the prompt's length.
struct NeedleMap {
  std::string configuration;
  std::vector<double> lengths, depths;      // ascending
  std::vector<std::vector<double>> scores;  // [depth][length], means; NaN without examples
};

struct ScoreSummary {
  std::vector<Configuration> configurations;
  std::vector<std::string> baselines;
  std::vector<ScoreRow> rows;  // overall, groups, tasks
  std::vector<NeedleMap> needles;
  std::vector<Outcome> problems;  // outcomes that were skipped or failed
  int64_t results = 0, expected = 0;
};

// A group's score is the mean of its tasks' means; overall is the mean of all tasks' means, without the group
// "agreement", whose scores are of another kind. Intervals resample examples within each task. `outcomes` are
// in the order of the plan.
ScoreSummary summarize_scores(const std::vector<Configuration>& configurations,
                              const std::vector<Outcome>& outcomes, const std::vector<std::string>& baselines,
                              int64_t expected);

const ScoreRow* find_row(const ScoreSummary& summary, const std::string& name);

}  // namespace claa::eval
