// Key-value retrieval of Lost in the Middle, and the two tasks of LongEval (LongChat): prompts and answers
// from their published files.
#include <algorithm>
#include <filesystem>

#include "core/check.h"
#include "eval/tasks/families.h"
#include "eval/tasks/records.h"

namespace claa::eval {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

constexpr const char* kKeyValueNeeds =
    "Lost in the Middle's kv-retrieval-N_keys.jsonl, unpacked, or a folder with such files";
constexpr const char* kLinesNeeds = "LongEval's N_lines.jsonl, or a folder with such files";
constexpr const char* kTopicsNeeds = "LongEval's N_topics.jsonl, or a folder with such files";

std::string quoted(const std::string& text) {
  return json::serialize(json::string(text));
}

Example key_value_example(const Record& record) {
  const json::value& pairs = record.at("ordered_kv_records");
  if (!pairs.is_array() || pairs.as_array().empty()) {
    record.refuse("ordered_kv_records", "must be an array of [key, value] pairs");
  }
  const std::string key = record.text("key");
  const size_t count = pairs.as_array().size();
  std::string data;
  size_t place = count;
  for (size_t i = 0; i < count; ++i) {
    const json::value& pair = pairs.as_array()[i];
    if (!pair.is_array() || pair.as_array().size() != 2 || !pair.as_array()[0].is_string() ||
        !pair.as_array()[1].is_string()) {
      record.refuse("ordered_kv_records", "must be an array of [key, value] pairs of strings");
    }
    const std::string name(pair.as_array()[0].as_string()), value(pair.as_array()[1].as_string());
    data += fmt::format("{}{}: {}{}", i == 0 ? "{" : " ", quoted(name), quoted(value),
                        i + 1 == count ? "}" : ",\n");
    if (name == key) place = i;
  }
  if (place == count)
    record.refuse("key", fmt::format("is '{}', which 'ordered_kv_records' does not have", key));
  Example example;
  example.prompt = fmt::format(
      "Extract the value corresponding to the specified key in the JSON object below.\n\nJSON "
      "data:\n{}\n\nKey: "
      "{}\nCorresponding value:",
      data, quoted(key));
  example.answers = {record.text("value")};
  example.max_tokens = 100;
  example.facets["keys"] = static_cast<double>(count);
  if (count > 1)
    example.facets["depth"] = 100.0 * static_cast<double>(place) / static_cast<double>(count - 1);
  return example;
}

Example lines_example(const Record& record) {
  Example example;
  example.prompt = record.text("prompt");
  example.answers = {std::to_string(record.integer("expected_number"))};
  example.max_tokens = 100;
  if (record.find("num_lines") != nullptr)
    example.facets["lines"] = static_cast<double>(record.integer("num_lines"));
  return example;
}

Example topics_example(const Record& record) {
  Example example;
  example.prompt = record.text("prompt");
  const std::vector<std::string> topics = record.texts("topics");
  example.answers = {topics[0]};
  example.max_tokens = 50;
  example.facets["topics"] = static_cast<double>(topics.size());
  return example;
}

struct RetrievalTask {
  const char *name, *group, *summary, *needs;
  const char* ending;  // ending of its file names
  const char* answer;  // the field that holds the answer
  const char* metric;
  Example (*read)(const Record&);
};

constexpr RetrievalTask kRetrievalTasks[] = {
    {"kv_retrieval", "kv_retrieval", "the value of a key among pairs of UUIDs", kKeyValueNeeds, "_keys.jsonl",
     "value", "contains", key_value_example},
    {"longeval_lines", "longeval", "the number that one of many lines names", kLinesNeeds, "_lines.jsonl",
     "expected_number", "last_number", lines_example},
    {"longeval_topics", "longeval", "the first topic of a long conversation", kTopicsNeeds, "_topics.jsonl",
     "topics", "contains", topics_example},
};

std::vector<Example> make_all(const RetrievalTask& task, const TaskOptions& options) {
  const std::string data = options.data;
  // The published folder has one folder for lines and one for topics.
  const fs::path own = fs::path(data) / std::string(task.name).substr(std::string(task.name).find('_') + 1);
  std::error_code error;
  const std::string where = !data.empty() && fs::is_directory(own, error) ? own.string() : data;
  std::vector<Example> examples;
  for (const std::string& file : data_files(where, task.ending, task.name, task.needs)) {
    int64_t count = 0;
    for_each_record(file, [&](const Record& record) {
      Example example = task.read(record);
      if (example.prompt.empty()) record.refuse("prompt", "is empty");
      if (example.answers[0].empty()) record.refuse(task.answer, "is empty");
      example.id = fmt::format("{}/{}/{}", task.name, fs::path(file).stem().string(), count);
      example.task = task.name;
      example.group = task.group;
      example.metric = task.metric;
      examples.push_back(std::move(example));
      return ++count != options.examples;
    });
  }
  return examples;
}

}  // namespace

std::vector<TaskInfo> retrieval_tasks() {
  std::vector<TaskInfo> tasks;
  for (const RetrievalTask& task : kRetrievalTasks) {
    tasks.push_back({task.name, task.group, task.summary, task.needs,
                     [&task](const TaskOptions& options) { return make_all(task, options); }});
  }
  return tasks;
}

}  // namespace claa::eval
