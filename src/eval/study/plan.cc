#include "eval/study/plan.h"

#include <charconv>
#include <map>
#include <set>

#include "core/check.h"
#include "core/counts.h"
#include "core/fingerprint.h"

namespace claa::eval {
namespace {

std::string hash_of(const std::string& text) {
  return fmt::format("{:016x}", fingerprint(std::as_bytes(std::span(text.data(), text.size()))));
}

// The length before each field distinguishes ("ab", "c") from ("a", "bc").
void append(std::string& all, std::string_view field) {
  all += fmt::format("{}:", field.size());
  all += field;
}

// Removes the first `count` examples of each task and length.
void drop_first(std::vector<Example>& examples, int64_t count) {
  std::map<std::pair<std::string, double>, int64_t> seen;
  std::erase_if(examples, [&](const Example& example) {
    const auto length = example.facets.find("length");
    return seen[{example.task, length == example.facets.end() ? 0 : length->second}]++ < count;
  });
}

}  // namespace

Shard parse_shard(const std::string& text) {
  Shard shard;
  const char* end = text.data() + text.size();
  const auto part = std::from_chars(text.data(), end, shard.part);
  const bool slash = part.ec == std::errc() && part.ptr != end && *part.ptr == '/';
  const auto parts = std::from_chars(slash ? part.ptr + 1 : end, end, shard.parts);
  if (!slash || parts.ec != std::errc() || parts.ptr != end || shard.part < 1 || shard.part > shard.parts) {
    fail(ErrorCode::kInvalidArgument, "a shard is written PART/PARTS, from 1/PARTS to PARTS/PARTS, not '{}'",
         text);
  }
  return shard;
}

std::string prompt_hash(const Example& example) {
  std::string all;
  append(all, example.prompt);
  append(all, example.answer_prefix);
  return hash_of(all);
}

std::vector<PlannedExample> plan_examples(const std::vector<TaskInfo>& tasks, TaskOptions options,
                                          const std::vector<uint64_t>& seeds) {
  std::vector<PlannedExample> examples;
  std::set<std::pair<std::string, uint64_t>> ids;
  if (options.skip > 0 && options.examples > 0) options.examples += options.skip;
  for (const TaskInfo& task : tasks) {
    for (const uint64_t seed : seeds) {
      options.seed = seed;
      std::vector<Example> made = task.make(options);
      const size_t all = made.size();
      if (options.skip > 0) drop_first(made, options.skip);
      if (made.empty() && all > 0) {
        fail(ErrorCode::kInvalidArgument,
             "the task '{}' has {} examples, none after those left out by skip {}; leave out fewer",
             task.name, group_digits(all), options.skip);
      }
      if (made.empty()) {
        fail(ErrorCode::kInvalidArgument, "the task '{}' has no examples{}{}", task.name,
             task.needs.empty() ? "" : "; it needs ", task.needs);
      }
      for (Example& example : made) {
        if (!ids.insert({example.id, seed}).second)
          fail(ErrorCode::kInvalidArgument, "two examples have the id '{}'; name each task once", example.id);
        examples.push_back({static_cast<int64_t>(examples.size()), seed, std::move(example)});
      }
    }
  }
  return examples;
}

std::string plan_fingerprint(const std::vector<PlannedExample>& examples) {
  std::string all;
  for (const PlannedExample& planned : examples) {
    const Example& example = planned.example;
    for (const std::string& text :
         {example.id, example.task, example.group, prompt_hash(example), example.metric})
      append(all, text);
    for (const std::string& answer : example.answers) append(all, answer);
    for (const std::string& name : example.classes) append(all, name);
    all += fmt::format("{} {} {};", planned.seed, example.chat, example.max_tokens);
  }
  return hash_of(all);
}

}  // namespace claa::eval
