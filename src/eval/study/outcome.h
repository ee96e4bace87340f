// The outcome of one method on one example: a line of results.jsonl.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace claa::eval {

// kSkipped: the example does not fit the model's context. kError: anything else that went wrong.
enum class Status { kOk, kSkipped, kError };
const char* status_name(Status status);  // "ok", "skipped", "error"

struct Outcome {
  int64_t index = 0;  // index of the example in the whole evaluation, regardless of shards
  std::string id, task, group;
  uint64_t seed = 0;
  std::map<std::string, double> facets;  // of the example: length, depth, ...
  std::string prompt_hash;               // hash of the prompt's text and the answer's prefix
  std::string configuration;             // label
  std::string method;
  double keep = 1;                                          // effective rate; 1 without one
  std::vector<std::pair<std::string, std::string>> params;  // effective values
  Status status = Status::kOk;
  std::string reason;  // why the status is not ok
  std::string prediction;
  double score = 0;                       // in [0, 1]
  std::map<std::string, double> metrics;  // further numbers of the task, such as "kl"
  std::map<std::string, double> signals;  // RankingSignals of the ranking by name; empty: not measured
  int64_t tokens = 0, kept_tokens = 0, output_tokens = 0;
  double ttft_ms = 0;
};

boost::json::object to_json(const Outcome& outcome);
// Throws Error{kCorruptFile} naming the field that is missing or of another type.
Outcome outcome_from_json(const boost::json::object& json);

}  // namespace claa::eval
