// Means over prompts of the measurements in diagnosis.h. Every prompt weighs the same, whatever its task.
#pragma once

#include <string>
#include <vector>

#include "eval/diagnosis/diagnosis.h"
#include "eval/stats/statistics.h"

namespace claa::eval {

struct HeuristicSummary {
  std::string name;
  bool horizontal = false;                            // one ranking for all layers
  std::vector<Moments> spearman, jaccard, stability;  // one per layer
  // Over the prompts with an exit layer: where the adaptive exit stops, the Spearman with the oracle there
  // and at the fixed layer, and the first less the second, prompt by prompt. n is 0 without one.
  Moments exit_layer, spearman_at_exit, spearman_at_fixed, exit_gain;
  std::vector<double> density;  // mean of the prompts' densities of chosen positions; empty without positions
  Moments made;                 // MADE between each prompt's density and the oracle's density of that prompt
  double made_of_mean = 0;      // MADE of the two mean densities; NaN without
};

struct GroupSummary {
  std::string name;
  int64_t prompts = 0;
  std::vector<HeuristicSummary>
      heuristics;  // in the order of Summary::heuristics; only those that have prompts here
  std::vector<double> oracle_density;  // empty without positions
};

struct Summary {
  size_t layers = 0;
  std::vector<std::string>
      heuristics;  // names in the order of their first appearance, as are groups and tasks
  std::vector<GroupSummary> groups, tasks;
  GroupSummary overall;
  std::vector<std::vector<double>>
      head_recall;  // [layers][heads], mean over the prompts that have it; may be empty
};

// Throws Error{kInvalidArgument}: no prompt, repeated ids or heuristics, layers or heads that differ between
// prompts.
Summary summarize(const std::vector<PromptDiagnosis>& prompts);

// Mean over the layers with a value, for one prompt's curve or for a summary's means; NaN without.
double mean_over_layers(const std::vector<double>& values);
std::vector<double> means(const std::vector<Moments>& moments);

}  // namespace claa::eval
