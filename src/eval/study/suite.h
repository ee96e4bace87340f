// A suite: an evaluation in a file, with the thresholds that its scores must reach. For quality gates.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/draw/text_table.h"
#include "eval/study/scores.h"

namespace claa::eval {

struct Threshold {
  std::string configuration;  // label, such as "claa 0.2"
  std::string row;            // a task, a group or "overall"
  // One of "score" (x100), "kl", "top1", "top5", "perplexity" and "difference" from full (x100).
  std::string metric = "score";
  std::optional<double> at_least, at_most;
};

// Fields that the file does not have stay empty.
struct Suite {
  std::vector<std::string> tasks, methods, keeps, baselines;
  std::vector<int64_t> lengths;
  std::optional<int64_t> examples;
  std::vector<uint64_t> seeds;
  std::vector<std::string> set;       // name=value
  std::string data, haystack, sweep;  // paths relative to the suite's file
  std::string profile;                // "auto", "none", or a path relative to the suite's file
  std::vector<Threshold> thresholds;
};

// An object with "about", "tasks", "lengths", "examples", "seeds", "methods", "keep", "set", "baselines",
// "data", "haystack", "sweep", "profile" and "thresholds"; each of these is an object with "configuration",
// "row", "metric", and "at_least" or "at_most" or both. Throws Error naming file and field.
Suite read_suite(const std::string& path);

struct Verdict {
  Threshold threshold;
  double value = 0;  // NaN: not measured, which never passes
  bool passed = false;
};
// Refuses an unknown metric (Error{kInvalidArgument}).
std::vector<Verdict> check_thresholds(const ScoreSummary& summary, const std::vector<Threshold>& thresholds);
TextTable verdict_table(const std::vector<Verdict>& verdicts);

}  // namespace claa::eval
