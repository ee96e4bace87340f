// The plan of an evaluation: the examples of its tasks, once for every seed.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/study/configurations.h"
#include "eval/study/outcome.h"
#include "eval/tasks/task.h"

namespace claa::eval {

struct PlannedExample {
  int64_t index = 0;  // in the whole evaluation
  uint64_t seed = 0;
  Example example;
};

// A part of the examples: those whose index leaves `part - 1` when divided by `parts`.
struct Shard {
  int64_t part = 1, parts = 1;
  bool has(int64_t index) const { return index % parts == part - 1; }
};
// Parses "2/8". Throws Error{kInvalidArgument}.
Shard parse_shard(const std::string& text);

// Tasks in their order, and in each the seeds in theirs; the first `options.skip` examples of each task and
// length are left out, and the rest numbered without them. Throws Error{kInvalidArgument} for no examples and
// for repeated ids.
std::vector<PlannedExample> plan_examples(const std::vector<TaskInfo>& tasks, TaskOptions options,
                                          const std::vector<uint64_t>& seeds);

// Fingerprint of everything that a result depends on: two plans with one fingerprint ask the same.
std::string plan_fingerprint(const std::vector<PlannedExample>& examples);

// Hash of the prompt and the answer's prefix, 16 hexadecimal digits.
std::string prompt_hash(const Example& example);

}  // namespace claa::eval
