// What tasks that make their own prompts share: as much text as fits into a length, and examples that depend
// on seed, task, length and index alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "eval/tasks/random.h"
#include "eval/tasks/task.h"

namespace claa::eval {

// What a generator fills in of an example.
struct Draft {
  std::string prompt;
  std::string answer_prefix;
  std::vector<std::string> answers;
  std::map<std::string, double> facets;
};

// Example `index` with `size` units of filling (words, lines, documents: the generator's own). It is called
// with equal `random` for every size, so that what is asked does not depend on how much text turned out to
// fit.
using MakeDraft = std::function<Draft(Random& random, int64_t size, int64_t index)>;

struct Generator {
  std::string task;
  std::string metric;
  int64_t max_tokens = 0;
  int64_t least = 1;            // units without which there is no task
  int64_t most = 1 << 24;       // units there are
  int64_t questions = 1 << 24;  // examples there are
  MakeDraft make;
};

// Examples of one length: prompt, answer prefix and max_tokens together are at most `length` tokens, as RULER
// counts, and as near to it as whole units allow. Throws Error{kInvalidArgument} when `least` does not fit.
std::vector<Example> generate(const Generator& generator, const TaskOptions& options, int64_t length);

// Largest n in [least, most] with fits(n), for a monotone `fits`; least - 1 when there is none.
int64_t largest_fitting(int64_t least, int64_t most, const std::function<bool(int64_t)>& fits);

// Of each task and length when `options.examples` is 0: RULER's own number.
inline constexpr int64_t kAllGenerated = 500;

// Throws Error{kInvalidArgument} for options that no generated task can use.
void check_generation(const TaskOptions& options, const std::string& task);

}  // namespace claa::eval
