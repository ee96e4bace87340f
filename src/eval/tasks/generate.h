// Code that tasks with generated prompts share: filling a length with text, and examples that depend only on
// seed, task, length and index.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "eval/tasks/random.h"
#include "eval/tasks/task.h"

namespace claa::eval {

// The fields of an example that a generator fills in.
struct Draft {
  std::string prompt;
  std::string answer_prefix;
  std::vector<std::string> answers;
  std::map<std::string, double> facets;
};

// Example `index` with `size` units of filling (words, lines, documents: the generator's own). It is called
// with equal `random` for every size, so that the question does not depend on how much text turned out to
// fit.
using MakeDraft = std::function<Draft(Random& random, int64_t size, int64_t index)>;

struct Generator {
  std::string task;
  std::string metric;
  int64_t max_tokens = 0;
  int64_t least = 1;            // fewest units that make a task
  int64_t most = 1 << 24;       // units that exist
  int64_t questions = 1 << 24;  // examples that exist
  MakeDraft make;
};

// Examples of one length: prompt, answer prefix and max_tokens together are at most `length` tokens, as RULER
// counts, and as close to it as whole units allow. Throws Error{kInvalidArgument} when `least` does not fit.
std::vector<Example> generate(const Generator& generator, const TaskOptions& options, int64_t length);

// Largest n in [least, most] with fits(n), for a monotone `fits`; least - 1 when there is none.
int64_t largest_fitting(int64_t least, int64_t most, const std::function<bool(int64_t)>& fits);

// Examples per task and length when `options.examples` is 0: RULER's own number.
inline constexpr int64_t kAllGenerated = 500;

// Throws Error{kInvalidArgument} for options that no generated task can use.
void check_generation(const TaskOptions& options, const std::string& task);

}  // namespace claa::eval
