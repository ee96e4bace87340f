#include "eval/tasks/generate.h"

#include <algorithm>

#include "core/check.h"
#include "core/counts.h"

namespace claa::eval {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 24;  // of a prompt; far more than any model reads

int64_t tokens_of(const Draft& draft, const TaskOptions& options) {
  return options.count_tokens(draft.prompt + draft.answer_prefix);
}

}  // namespace

int64_t largest_fitting(int64_t least, int64_t most, const std::function<bool(int64_t)>& fits) {
  if (most < least || !fits(least)) return least - 1;
  int64_t good = least, step = 1;
  // Doubles before halving: a try costs as much as its text is long, and `most` may be far away.
  while (good < most && fits(std::min(most, good + step))) {
    good = std::min(most, good + step);
    step *= 2;
  }
  int64_t bad = std::min(most + 1, good + step);
  while (bad - good > 1) {
    const int64_t middle = good + (bad - good) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  return good;
}

void check_generation(const TaskOptions& options, const std::string& task) {
  require(static_cast<bool>(options.count_tokens), "a task that makes its prompts needs count_tokens");
  if (options.lengths.empty()) {
    fail(ErrorCode::kInvalidArgument, "task '{}': no prompt length given; give one or more", task);
  }
  for (const int64_t length : options.lengths) {
    if (length < 1 || length > kMostTokens) {
      fail(ErrorCode::kInvalidArgument, "task '{}': prompt length {} is not between 1 and {}", task, length,
           kMostTokens);
    }
  }
  if (options.examples < 0) {
    fail(ErrorCode::kInvalidArgument, "task '{}': {} examples; give 0 for all or a positive number", task,
         options.examples);
  }
}

std::vector<Example> generate(const Generator& generator, const TaskOptions& options, int64_t length) {
  const int64_t budget = length - generator.max_tokens;
  const auto draft = [&](int64_t size, int64_t index) {
    Random random(options.seed, generator.task, length, index);
    return generator.make(random, size, index);
  };
  const auto fits = [&](int64_t size) { return tokens_of(draft(size, 0), options) <= budget; };
  // A unit has at least one token, except those that a generator rounds away.
  const int64_t most = std::min(generator.most, generator.least + 4 * length);
  const int64_t planned = largest_fitting(generator.least, most, fits);

  std::vector<Example> examples;
  const int64_t wanted = options.examples == 0 ? kAllGenerated : options.examples;
  for (int64_t index = 0; index < std::min(wanted, generator.questions); ++index) {
    // Another example of the same size may be a little longer or shorter.
    int64_t size = std::max(planned, generator.least);
    Draft made = draft(size, index);
    while (tokens_of(made, options) > budget && size > generator.least) {
      size = std::max(generator.least, size - std::max<int64_t>(1, size / 64));
      made = draft(size, index);
    }
    if (const int64_t tokens = tokens_of(made, options); tokens > budget) {
      fail(ErrorCode::kInvalidArgument,
           "task '{}' does not fit into {} tokens: its shortest prompt has {} and its answer {}; give a "
           "length of {} "
           "or more",
           generator.task, group_digits(length), group_digits(tokens), group_digits(generator.max_tokens),
           group_digits(tokens + generator.max_tokens));
    }
    Example example;
    example.id = fmt::format("{}/{}/{}", generator.task, length, index);
    example.task = generator.task;
    example.group = "ruler";
    example.prompt = std::move(made.prompt);
    example.answer_prefix = std::move(made.answer_prefix);
    example.answers = std::move(made.answers);
    example.metric = generator.metric;
    example.max_tokens = generator.max_tokens;
    example.facets = std::move(made.facets);
    example.facets["length"] = static_cast<double>(length);
    examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace claa::eval
