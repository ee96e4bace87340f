// A task of an evaluation is a list of examples: each has a prompt, the references, and the metric that
// compares the answer with them (spec.md 10). A task file names no method and no device.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/document.h"

namespace claa::eval {

// One question. All texts are UTF-8.
struct Example {
  std::string id;     // unique in a run: task/index, with the length or depth where the task has one
  std::string task;   // "niah_single_1", "hotpotqa", ...
  std::string group;  // tables average over it first: "ruler", "longbench", ...
  std::string prompt;
  std::string answer_prefix;         // how the answer begins; the model continues it
  bool chat = true;                  // false: the prompt goes to the model without its chat template
  std::vector<std::string> answers;  // references
  std::vector<std::string> classes;  // for a classification task; else empty
  std::string metric;                // see score()
  int64_t max_tokens = 32;           // longest answer
  std::map<std::string, double>
      facets;  // numbers to group by: "length" (tokens asked for), "depth" (percent), ...
};

struct TaskOptions {
  std::string data;  // folder or file with the task's data; empty where the task makes its own
  std::vector<int64_t> lengths{2048};  // prompt lengths in tokens, for tasks that make their own prompts
  int64_t examples = 20;               // at most, per task and length; 0: all
  int64_t skip =
      0;  // examples to leave out at the start, per task and length; plan_examples() applies it, tasks do not
  uint64_t seed = 42;
  std::string haystack;                // a text file to hide needles in; empty: the bundled one
  ReadText read_text = read_document;  // of the haystack, which several tasks read
  // Length of a text in the model's tokens, without the chat template.
  std::function<int64_t(std::string_view)> count_tokens;
};

struct TaskInfo {
  std::string name;
  std::string group;
  std::string summary;  // one line
  std::string needs;    // contents that `data` must have; empty: none
  std::function<std::vector<Example>(const TaskOptions&)> make;
};

// All tasks, in the order of the tables. Names are unique; a group's name stands for all of its tasks.
const std::vector<TaskInfo>& all_tasks();
// The tasks named by a list of task and group names. Throws Error{kInvalidArgument} offering the names.
std::vector<TaskInfo> find_tasks(const std::vector<std::string>& names);

// A score in [0, 1]. The metrics are those of metrics.h by name ("ruler_all", "ruler_part", "needle",
// "needle_stripped", and the LongBench data sets as "longbench/hotpotqa"), "contains" (the first answer
// occurs, regardless of case), "last_number" (the prediction's last number is the first answer) and
// "babilong" (of `classes`, the first sentence names the answer alone). Examples of needle in a haystack have
// "needle"; a copy with "needle_stripped" gives the other score. Throws Error{kInvalidArgument} for an
// unknown metric.
double score(const Example& example, std::string_view prediction);

}  // namespace claa::eval
