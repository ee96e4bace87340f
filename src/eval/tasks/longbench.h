// LongBench's tasks as they are published.
#pragma once

#include <cstdint>
#include <span>

namespace claa::eval {

struct LongBenchTask {
  const char* name;
  const char* summary;
  int64_t max_tokens;  // LongBench's dataset2maxlen.json
  bool in_e;           // true if LongBench-E has it too
  bool chat;           // false for the tasks that give examples to continue
  const char* prompt;  // LongBench's dataset2prompt.json, with {context} and {input}
};

// The 16 English and code tasks, in the order of the published tables.
std::span<const LongBenchTask> longbench_definitions();

}  // namespace claa::eval
