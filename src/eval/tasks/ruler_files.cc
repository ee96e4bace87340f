// RULER's examples as its own generator writes them: TASK.jsonl in a folder, or in a folder for every length.
// The prompt is `input` followed by `answer_prefix`, which older versions of the generator leave inside
// `input`.
#include <algorithm>
#include <charconv>
#include <filesystem>

#include "core/check.h"
#include "eval/tasks/families.h"
#include "eval/tasks/records.h"

namespace claa::eval {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFileNeeds =
    "a folder with RULER's TASK.jsonl files, or with a folder of them for every length";

struct FileTask {
  const char* name;
  int64_t max_tokens;
};
constexpr FileTask kFileTasks[] = {
    {"niah_single_1", 128},
    {"niah_single_2", 128},
    {"niah_single_3", 128},
    {"niah_multikey_1", 128},
    {"niah_multikey_2", 128},
    {"niah_multikey_3", 128},
    {"niah_multivalue", 128},
    {"niah_multiquery", 128},
    {"vt", 30},
    {"cwe", 120},
    {"fwe", 50},
    {"qa_1", 32},
    {"qa_2", 32},
};

// Returns 0 for a name that is no number.
int64_t as_length(const std::string& name) {
  int64_t length = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), length);
  return error == std::errc() && end == name.data() + name.size() && length > 0 ? length : 0;
}

void read_file_task(const FileTask& task, const std::string& path, int64_t length, const TaskOptions& options,
                    std::vector<Example>& examples) {
  int64_t count = 0;
  for_each_record(path, [&](const Record& record) {
    Example example;
    example.id = length > 0 ? fmt::format("{}/{}/{}", task.name, length, count)
                            : fmt::format("{}/{}", task.name, count);
    example.task = task.name;
    example.group = "ruler";
    example.prompt = record.text("input");
    example.answer_prefix = record.text_or("answer_prefix", "");
    example.answers = record.texts("outputs");
    example.metric = std::string_view(task.name).starts_with("qa_") ? "ruler_part" : "ruler_all";
    example.max_tokens = task.max_tokens;
    if (length > 0) example.facets["length"] = static_cast<double>(length);
    if (example.prompt.empty()) record.refuse("input", "is empty");
    examples.push_back(std::move(example));
    return ++count != options.examples;
  });
}

// True if the folder has files of tasks.
bool read_folder(const fs::path& folder, int64_t length, const TaskOptions& options,
                 std::vector<Example>& examples) {
  bool any = false;
  for (const FileTask& task : kFileTasks) {
    const fs::path file = folder / (std::string(task.name) + ".jsonl");
    if (!fs::exists(file)) continue;
    read_file_task(task, file.string(), length, options, examples);
    any = true;
  }
  return any;
}

std::vector<Example> make_file_tasks(const TaskOptions& options) {
  if (options.data.empty()) {
    fail(ErrorCode::kInvalidArgument, "task 'ruler_files' needs data: {}", kFileNeeds);
  }
  std::error_code error;
  if (!fs::is_directory(options.data, error)) {
    fail(ErrorCode::kInvalidArgument, "task 'ruler_files': '{}' is no folder; it needs {}", options.data,
         kFileNeeds);
  }
  std::vector<Example> examples;
  const fs::path folder = fs::path(options.data).lexically_normal();
  const std::string own_name = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  if (read_folder(folder, as_length(own_name), options, examples)) return examples;

  std::vector<std::pair<int64_t, fs::path>> lengths;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const int64_t length = as_length(entry->path().filename().string());
    if (length > 0 && entry->is_directory(error)) lengths.emplace_back(length, entry->path());
  }
  if (error) fail(ErrorCode::kIo, "cannot list '{}': {}", options.data, error.message());
  std::sort(lengths.begin(), lengths.end());
  for (const auto& [length, path] : lengths) read_folder(path, length, options, examples);
  if (examples.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "task 'ruler_files': neither '{}' nor its folders named by a length have files like "
         "niah_single_1.jsonl",
         options.data);
  }
  return examples;
}

}  // namespace

std::vector<TaskInfo> ruler_file_tasks() {
  return {{"ruler_files", "ruler_files", "RULER's examples made by its own generator", kFileNeeds,
           make_file_tasks}};
}

}  // namespace claa::eval
