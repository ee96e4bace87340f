// An evaluation as a study on disk: its configuration, and how shards are joined.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "claa/engine.h"
#include "eval/study/plan.h"

namespace claa::eval {

inline constexpr const char* kResultsFile = "results.jsonl";

struct StudySetup {
  std::vector<std::string> tasks;
  std::string data, haystack;  // as they were given
  std::vector<int64_t> lengths;
  int64_t examples = 20, skip = 0;
  std::vector<uint64_t> seeds;
  Shard shard;
};

// Everything that results depend on: program, model and its fingerprint, device, tasks, all parameters, and a
// fingerprint of all examples. Runs are continued and shards merged only when it is the same.
boost::json::object study_json(const StudySetup& setup, const ModelSummary& model,
                               const std::vector<PlannedExample>& examples,
                               const std::vector<Configuration>& configurations);

struct Study {
  boost::json::object configuration;
  std::vector<Configuration> configurations;
  std::vector<boost::json::object> results;
  Shard shard;
  int64_t expected = 0;  // number of results of a complete study
};
// Reads FOLDER/results.jsonl. Throws Error: kNotFound, kIo, kCorruptFile.
Study read_study(const std::string& folder);

// Joins all shards of one evaluation into the study that one run would have written; shards of evaluations
// that asked the same examples of the same model add their configurations. Throws Error{kInvalidArgument} for
// examples that differ, for two configurations of one label, and for a shard that is given twice, is missing
// or is not complete.
Study merge_studies(const std::vector<std::string>& folders);

// Writes its results.jsonl.
std::string study_text(const Study& study);

}  // namespace claa::eval
