// Any bytes as a task's data file (JSON or JSON Lines), given to every task that reads one: examples that can
// be scored, or a refusal that names the file.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "claa/error.h"
#include "eval/tasks/families.h"
#include "memory_file.h"

namespace {

namespace fs = std::filesystem;
namespace eval = claa::eval;

void expect(bool condition) {
  if (!condition) std::abort();
}

// A folder whose files, under all the names that tasks look for, are one file in memory.
class DataFolder {
 public:
  DataFolder() : path_(fs::temp_directory_path() / ("claa_fuzz." + std::to_string(getpid()))) {
    fs::create_directories(path_);
    for (const char* name : {"qa1.jsonl", "qa2.jsonl", "qa3.jsonl", "qa4.jsonl", "qa5.jsonl", "squad.json",
                             "hotpotqa.json", "1_keys.jsonl", "1_lines.jsonl", "1_topics.jsonl"}) {
      link(name);
    }
    for (const eval::TaskInfo& task : eval::all_tasks()) link(task.name + ".jsonl");
  }
  ~DataFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  void set(std::span<const uint8_t> bytes) { file_.set(bytes); }
  std::string path() const { return path_.string(); }

 private:
  void link(const std::string& name) { fs::create_symlink(file_.path(), path_ / name); }

  MemoryFile file_;
  fs::path path_;
};

std::vector<eval::TaskInfo> tasks_with_data() {
  std::vector<eval::TaskInfo> tasks;
  for (const eval::TaskInfo& task : eval::all_tasks()) {
    if (!task.needs.empty()) tasks.push_back(task);
  }
  return tasks;
}

void read(const eval::TaskInfo& task, const std::string& path) {
  eval::TaskOptions options;
  options.data = path;
  options.lengths = {64};
  options.examples = 2;
  options.count_tokens = [](std::string_view text) { return static_cast<int64_t>(text.size() / 4); };
  try {
    for (const eval::Example& example : task.make(options)) {
      const double right = eval::score(example, example.answers.empty() ? "" : example.answers.front());
      expect(right >= 0 && right <= 1);
    }
  } catch (const claa::Error& error) {
    expect(error.code() == claa::ErrorCode::kInvalidArgument ||
           error.code() == claa::ErrorCode::kCorruptFile);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static DataFolder folder;
  static const std::vector<eval::TaskInfo> tasks = tasks_with_data();
  if (size == 0) return 0;
  folder.set(std::span(data + 1, size - 1));
  read(tasks[data[0] % tasks.size()], folder.path());
  return 0;
}
