#include "eval/study/scores.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "core/check.h"
#include "eval/stats/statistics.h"
#include "eval/study/agreement.h"

namespace claa::eval {
namespace {

constexpr const char* kReference = "full";

using Tasks = std::vector<std::string>;

// Outcomes by task and configuration, with examples in their order.
class Table {
 public:
  explicit Table(const std::vector<Outcome>& outcomes) {
    for (const Outcome& outcome : outcomes) {
      if (groups_.emplace(outcome.task, outcome.group).second) tasks_.push_back(outcome.task);
      cells_[{outcome.task, outcome.configuration}].push_back(&outcome);
    }
  }
  const Tasks& tasks() const { return tasks_; }
  const std::string& group_of(const std::string& task) const { return groups_.at(task); }
  const std::vector<const Outcome*>& of(const std::string& task, const std::string& configuration) const {
    static const std::vector<const Outcome*> kNothing;
    const auto found = cells_.find({task, configuration});
    return found == cells_.end() ? kNothing : found->second;
  }

  // One value per answered example, one stratum per task.
  template <typename Value>
  std::vector<std::vector<double>> strata(const Tasks& tasks, const std::string& configuration,
                                          Value value) const {
    std::vector<std::vector<double>> strata;
    for (const std::string& task : tasks) {
      std::vector<double>& stratum = strata.emplace_back();
      for (const Outcome* outcome : of(task, configuration)) {
        if (outcome->status == Status::kOk) stratum.push_back(value(*outcome));
      }
    }
    return strata;
  }

  // One value per pair of answers to the same example.
  template <typename Value>
  std::vector<std::vector<double>> pairs(const Tasks& tasks, const std::string& configuration,
                                         const std::string& baseline, Value value) const {
    std::vector<std::vector<double>> strata;
    for (const std::string& task : tasks) {
      std::map<int64_t, const Outcome*> others;
      for (const Outcome* outcome : of(task, baseline)) {
        if (outcome->status == Status::kOk) others[outcome->index] = outcome;
      }
      std::vector<double>& stratum = strata.emplace_back();
      for (const Outcome* outcome : of(task, configuration)) {
        const auto other = others.find(outcome->index);
        if (outcome->status == Status::kOk && other != others.end())
          stratum.push_back(value(*outcome, *other->second));
      }
    }
    return strata;
  }

 private:
  Tasks tasks_;
  std::map<std::string, std::string> groups_;
  std::map<std::pair<std::string, std::string>, std::vector<const Outcome*>> cells_;
};

std::vector<double> joined(const std::vector<std::vector<double>>& strata) {
  std::vector<double> all;
  for (const std::vector<double>& stratum : strata) all.insert(all.end(), stratum.begin(), stratum.end());
  return all;
}

double mean(const std::vector<double>& values) {
  return values.empty()
             ? kNaN
             : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// The exponential of a mean and of its interval's ends, which a monotonic function does not reorder.
Estimate exponential(const Estimate& estimate) {
  return {std::exp(estimate.mean), std::exp(estimate.low), std::exp(estimate.high), estimate.n};
}

std::vector<std::pair<std::string, Estimate>> metrics_of(const Table& table, const Tasks& tasks,
                                                         const std::string& configuration) {
  std::set<std::string> names;
  for (const std::string& task : tasks) {
    for (const Outcome* outcome : table.of(task, configuration)) {
      for (const auto& [name, value] : outcome->metrics) names.insert(name);
    }
  }
  std::vector<std::pair<std::string, Estimate>> metrics;
  for (const std::string& name : names) {
    std::vector<std::vector<double>> strata(tasks.size());
    for (size_t i = 0; i < tasks.size(); ++i) {
      for (const Outcome* outcome : table.of(tasks[i], configuration)) {
        const auto found = outcome->metrics.find(name);
        if (outcome->status == Status::kOk && found != outcome->metrics.end())
          strata[i].push_back(found->second);
      }
    }
    const Estimate estimate = bootstrap(strata);
    if (name == "nll") {
      metrics.emplace_back("perplexity", exponential(estimate));
    } else {
      metrics.emplace_back(name, estimate);
    }
  }
  return metrics;
}

class Summarizer {
 public:
  Summarizer(const std::vector<Configuration>& configurations, const Table& table,
             const std::vector<std::string>& baselines)
      : configurations_(configurations), table_(table), baselines_(baselines) {}

  ScoreRow row(Level level, const std::string& name, const std::string& group, const Tasks& tasks) const {
    ScoreRow row{level, name, group, {}};
    for (const Configuration& configuration : configurations_)
      row.cells.push_back(cell(configuration, tasks));
    return row;
  }

 private:
  Cell cell(const Configuration& configuration, const Tasks& tasks) const {
    const std::string& label = configuration.label;
    Cell cell;
    cell.score = bootstrap(table_.strata(tasks, label, [](const Outcome& o) { return 100 * o.score; }));
    for (const std::string& task : tasks) {
      for (const Outcome* outcome : table_.of(task, label)) {
        cell.skipped += outcome->status == Status::kSkipped ? 1 : 0;
        cell.errors += outcome->status == Status::kError ? 1 : 0;
      }
    }
    const auto tokens = [](const Outcome& o) { return static_cast<double>(o.tokens); };
    const auto kept = [](const Outcome& o) {
      return static_cast<double>(o.kept_tokens) / static_cast<double>(std::max<int64_t>(1, o.tokens));
    };
    cell.tokens = mean(joined(table_.strata(tasks, label, tokens)));
    cell.kept = mean(joined(table_.strata(tasks, label, kept)));
    cell.metrics = metrics_of(table_, tasks, label);
    for (const std::string& baseline : baselines_)
      cell.differences.push_back(difference(configuration, baseline, tasks));
    add_timing(configuration, tasks, cell);
    return cell;
  }

  Difference difference(const Configuration& configuration, const std::string& baseline,
                        const Tasks& tasks) const {
    const Configuration* other = baseline_of(configurations_, configuration, baseline);
    if (other == nullptr) return {baseline, "", {kNaN, kNaN, kNaN, 0}};
    const auto gain = [](const Outcome& a, const Outcome& b) { return 100 * (a.score - b.score); };
    return {baseline, other->label, bootstrap(table_.pairs(tasks, configuration.label, other->label, gain))};
  }

  void add_timing(const Configuration& configuration, const Tasks& tasks, Cell& cell) const {
    const auto time = [](const Outcome& o) { return o.ttft_ms; };
    cell.ttft_ms = median(joined(table_.strata(tasks, configuration.label, time)));
    const Configuration* full = baseline_of(configurations_, configuration, kReference);
    const std::string& reference = full == nullptr ? configuration.label : full->label;
    if (full == nullptr && configuration.method != kReference) {
      cell.ttft_ratio = kNaN;
      return;
    }
    const auto ratio = [](const Outcome& a, const Outcome& b) { return a.ttft_ms / b.ttft_ms; };
    const std::vector<double> ratios = joined(table_.pairs(tasks, configuration.label, reference, ratio));
    cell.ttft_ratio = median(ratios);
    cell.ttft_ratios = static_cast<int64_t>(ratios.size());
  }

  const std::vector<Configuration>& configurations_;
  const Table& table_;
  const std::vector<std::string>& baselines_;
};

NeedleMap needle_map(const std::string& label, const std::vector<const Outcome*>& outcomes) {
  NeedleMap map;
  map.configuration = label;
  std::map<std::pair<double, double>, std::vector<double>> cells;
  std::set<double> lengths, depths;
  for (const Outcome* outcome : outcomes) {
    const double length = outcome->facets.at("length"), depth = outcome->facets.at("depth");
    lengths.insert(length);
    depths.insert(depth);
    if (outcome->status == Status::kOk) cells[{depth, length}].push_back(outcome->score);
  }
  map.lengths.assign(lengths.begin(), lengths.end());
  map.depths.assign(depths.begin(), depths.end());
  for (const double depth : map.depths) {
    std::vector<double>& row = map.scores.emplace_back();
    for (const double length : map.lengths) row.push_back(mean(cells[{depth, length}]));
  }
  return map;
}

std::vector<NeedleMap> needle_maps(const std::vector<Configuration>& configurations,
                                   const std::vector<Outcome>& outcomes) {
  std::map<std::string, std::vector<const Outcome*>> by_configuration;
  for (const Outcome& outcome : outcomes) {
    if (outcome.facets.count("length") != 0 && outcome.facets.count("depth") != 0)
      by_configuration[outcome.configuration].push_back(&outcome);
  }
  std::vector<NeedleMap> maps;
  for (const Configuration& configuration : configurations) {
    const auto found = by_configuration.find(configuration.label);
    if (found != by_configuration.end()) maps.push_back(needle_map(configuration.label, found->second));
  }
  return maps;
}

}  // namespace

const char* level_name(Level level) {
  return level == Level::kTask ? "task" : level == Level::kGroup ? "group" : "overall";
}

ScoreSummary summarize_scores(const std::vector<Configuration>& configurations,
                              const std::vector<Outcome>& outcomes, const std::vector<std::string>& baselines,
                              int64_t expected) {
  for (const std::string& baseline : baselines) {
    const bool known = std::any_of(configurations.begin(), configurations.end(), [&](const Configuration& c) {
      return c.method == baseline || c.label == baseline || c.line == baseline;
    });
    if (!known) {
      fail(ErrorCode::kInvalidArgument,
           "the baseline '{}' is not among what is compared; add it to --methods", baseline);
    }
  }
  const Table table(outcomes);
  const Summarizer summarizer(configurations, table, baselines);
  ScoreSummary summary{configurations,
                       baselines,
                       {},
                       needle_maps(configurations, outcomes),
                       {},
                       static_cast<int64_t>(outcomes.size()),
                       expected};
  Tasks answered;
  std::vector<std::string> groups;
  std::map<std::string, Tasks> by_group;
  for (const std::string& task : table.tasks()) {
    const std::string& group = table.group_of(task);
    if (group != kAgreementGroup) answered.push_back(task);
    if (by_group[group].empty()) groups.push_back(group);
    by_group[group].push_back(task);
  }
  if (!answered.empty()) summary.rows.push_back(summarizer.row(Level::kOverall, "overall", "", answered));
  for (const std::string& group : groups)
    summary.rows.push_back(summarizer.row(Level::kGroup, group, group, by_group[group]));
  for (const std::string& task : table.tasks())
    summary.rows.push_back(summarizer.row(Level::kTask, task, table.group_of(task), {task}));
  for (const Outcome& outcome : outcomes) {
    if (outcome.status != Status::kOk) summary.problems.push_back(outcome);
  }
  return summary;
}

const ScoreRow* find_row(const ScoreSummary& summary, const std::string& name) {
  // Overall, groups, tasks: a task with the same name as its group is left out if it is the only one.
  const auto found = std::find_if(summary.rows.rbegin(), summary.rows.rend(),
                                  [&](const ScoreRow& row) { return row.name == name; });
  return found == summary.rows.rend() ? nullptr : &*found;
}

}  // namespace claa::eval
