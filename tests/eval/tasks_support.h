// Helpers that the tests of tasks share.
#pragma once

#include <map>

#include "eval/tasks/task.h"
#include "eval_support.h"

namespace claa::eval {

// Four bytes per token: cheap, with one more token for every few words, as a tokenizer has.
inline int64_t quarter_of_bytes(std::string_view text) {
  return static_cast<int64_t>(text.size() + 3) / 4;
}

inline TaskOptions task_options(const std::filesystem::path& data, int64_t examples, int64_t length,
                                uint64_t seed = 42) {
  TaskOptions options;
  options.data = data.string();
  options.examples = examples;
  options.lengths = {length};
  options.seed = seed;
  options.count_tokens = quarter_of_bytes;
  return options;
}

inline std::vector<Example> make_examples(const std::string& task, const TaskOptions& options) {
  return find_tasks({task}).at(0).make(options);
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline std::vector<std::string> cut(const std::string& text, const std::string& at) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = text.find(at, begin)) != std::string::npos; begin = end + at.size()) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

// The text between the last `from` and the `to` after it.
inline std::string between(const std::string& text, const std::string& from, const std::string& to) {
  const size_t at = text.rfind(from);
  if (at == std::string::npos) return "no '" + from + "'";
  const size_t begin = at + from.size(), end = text.find(to, begin);
  return end == std::string::npos ? "no '" + to + "'" : text.substr(begin, end - begin);
}

inline std::map<std::string, int> count_all(const std::vector<std::string>& items) {
  std::map<std::string, int> counts;
  for (const std::string& item : items) ++counts[item];
  return counts;
}

// Sum of (seen - expected)^2 / expected over `bins` bins of equal chance.
inline double chi_square(const std::vector<int>& bins, int draws) {
  const double expected = static_cast<double>(draws) / static_cast<double>(bins.size());
  double sum = 0;
  for (const int seen : bins) sum += (seen - expected) * (seen - expected) / expected;
  return sum;
}

}  // namespace claa::eval
