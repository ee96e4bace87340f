// LongBench and LongBench-E from the published files, TASK.jsonl and TASK_e.jsonl with the fields input,
// context, answers, all_classes and length (in words); or from files of records that name their task in a
// field "task" or "dataset", which may have the filled "prompt" in place of the context.
#include <algorithm>
#include <filesystem>

#include "core/check.h"
#include "eval/tasks/families.h"
#include "eval/tasks/longbench.h"
#include "eval/tasks/records.h"

namespace claa::eval {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLongBenchNeeds =
    "LongBench's TASK.jsonl files in a folder (LongBench-E: TASK_e.jsonl)";

// Fills in both names of the template at once, so that a context which contains "{input}" stays as it is.
std::string filled(std::string_view prompt, const std::string& context, const std::string& input) {
  std::string text;
  while (true) {
    const size_t brace = prompt.find('{');
    text += prompt.substr(0, brace);
    if (brace == std::string_view::npos) return text;
    prompt.remove_prefix(brace);
    const size_t end = prompt.find('}');
    text += prompt.substr(0, end + 1) == "{context}" ? context : input;
    prompt.remove_prefix(end + 1);
  }
}

Example example_of(const LongBenchTask& task, bool e, const Record& record, int64_t index) {
  const std::string name = e ? std::string(task.name) + "_e" : task.name;
  Example example;
  example.id = fmt::format("{}/{}", name, index);
  example.task = name;
  example.group = e ? "longbench_e" : "longbench";
  if (record.find("prompt") != nullptr) {
    example.prompt = record.text("prompt");
    if (example.prompt.empty()) record.refuse("prompt", "is empty");
  } else {
    example.prompt = filled(task.prompt, record.text("context"), record.text("input"));
  }
  example.chat = task.chat;
  example.answers = record.texts("answers");
  if (std::string_view(task.name) == "trec") example.classes = record.texts("all_classes");
  example.metric = fmt::format("longbench/{}", task.name);
  example.max_tokens = task.max_tokens;
  if (record.find("length") != nullptr) {
    const int64_t words = record.integer("length");
    example.facets["words"] = static_cast<double>(words);
    // The buckets of the published tables of LongBench-E: 0 to 4k, 4k to 8k, and more.
    if (e) example.facets["bucket"] = words < 4000 ? 0 : words < 8000 ? 4000 : 8000;
  }
  return example;
}

// True if a file's name says that it belongs to this task.
std::string own_file(const std::string& data, const std::string& name) {
  for (const fs::path& folder : {fs::path(data), fs::path(data) / "data"}) {
    std::error_code error;
    const fs::path file = folder / (name + ".jsonl");
    if (fs::is_regular_file(file, error)) return file.string();
  }
  return {};
}

std::vector<Example> make_all(const LongBenchTask& task, bool e, const TaskOptions& options) {
  const std::string name = e ? std::string(task.name) + "_e" : task.name;
  std::vector<Example> examples;
  const auto add = [&](const Record& record) {
    examples.push_back(example_of(task, e, record, static_cast<int64_t>(examples.size())));
    return static_cast<int64_t>(examples.size()) != options.examples;
  };
  const std::string own = options.data.empty() ? "" : own_file(options.data, name);
  if (!own.empty()) {
    for_each_record(own, add);
    return examples;
  }
  const std::vector<std::string> files = data_files(options.data, ".jsonl", name, kLongBenchNeeds);
  for (const std::string& file : files) {
    // A published file of another task names its set too, without the _e; its file name distinguishes the
    // two.
    if (fs::path(file).stem().string().ends_with("_e") != e) continue;
    const bool named = files.size() == 1 && fs::path(file).stem() == name;
    for_each_record(file, [&](const Record& record) {
      const std::string of = record.text_or("task", record.text_or("dataset", ""));
      if (!named && of != task.name && of != name) return true;
      return add(record);
    });
    if (options.examples != 0 && static_cast<int64_t>(examples.size()) == options.examples) break;
  }
  if (examples.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "task '{}': '{}' has neither {}.jsonl nor records whose field 'task' or 'dataset' says so; it needs "
         "{}",
         name, options.data, name, kLongBenchNeeds);
  }
  return examples;
}

}  // namespace

std::vector<TaskInfo> longbench_task_infos() {
  std::vector<TaskInfo> tasks;
  for (const bool e : {false, true}) {
    for (const LongBenchTask& task : longbench_definitions()) {
      if (e && !task.in_e) continue;
      tasks.push_back({e ? std::string(task.name) + "_e" : task.name, e ? "longbench_e" : "longbench",
                       task.summary, kLongBenchNeeds,
                       [&task, e](const TaskOptions& options) { return make_all(task, e, options); }});
    }
  }
  return tasks;
}

}  // namespace claa::eval
