// BABILong qa1 to qa5: facts of bAbI in the text of books, from its files with the fields input, question and
// target. The wording of the prompts and the labels are a fact of the benchmark (booydar/babilong,
// babilong/prompts.py and metrics.py; Apache-2.0), misprints included.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <span>

#include "core/check.h"
#include "eval/tasks/families.h"
#include "eval/tasks/records.h"

namespace claa::eval {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBabiNeeds =
    "a folder with BABILong's qaN.jsonl, or with a folder of them for every length (1k, 2k, ...)";

constexpr const char* kPlaces[] = {"bathroom", "bedroom", "garden", "hallway", "kitchen", "office"};
constexpr const char* kNamesAndThings[] = {"bill", "fred", "jeff", "mary", "apple", "football", "milk"};

struct BabiTask {
  const char *name, *file, *summary;
  const char *instruction, *examples, *format;
  std::span<const char* const> labels;
};

constexpr BabiTask kBabiTasks[] = {
    {"babilong_qa1", "qa1", "where a person is",
     "I will give you context with the facts about positions of different persons hidden in some "
     "random text and a question. You need to answer the question based only on the information from "
     "the facts. If a person was in different locations, use the latest location to answer the "
     "question.",
     "<example>\nCharlie went to the hallway. Judith come back to the kitchen. Charlie travelled to "
     "balcony. Where is Charlie?\nAnswer: The most recent location of Charlie is "
     "balcony.\n</example>\n\n<example>\nAlan moved to the garage. Charlie went to the beach. Alan "
     "went to the shop. Rouse travelled to balcony. Where is Alan?\nAnswer: The most recent location "
     "of Alan is shop.\n</example>",
     "Always return your answer in the following format: The most recent location of ’person’ is "
     "’location’. Do not write anything else after that.",
     kPlaces},
    {"babilong_qa2", "qa2", "where an object is",
     "I give you context with the facts about locations and actions of different persons hidden in "
     "some random text and a question.You need to answer the question based only on the information "
     "from the facts.\nIf a person got an item in the first location and travelled to the second "
     "location the item is also in the second location. If a person dropped an item in the first "
     "location and moved to the second location the item remains in the first location.",
     "<example>\nCharlie went to the kitchen. Charlie got a bottle. Charlie moved to the balcony. "
     "Where is the bottle?\nAnswer: The bottle is in the balcony.\n</example>\n<example>\nAlan moved "
     "to the garage. Alan got a screw driver. Alan moved to the kitchen. Where is the screw "
     "driver?\nAnswer: The screw driver is in the kitchen.\n</example>",
     "Always return your answer in the following format: The ’item’ is in ’location’. Do not write "
     "anything else after that.",
     kPlaces},
    {"babilong_qa3", "qa3", "where an object was before",
     "I give you context with the facts about locations and actions of different persons hidden in "
     "some random text and a question. You need to answer the question based only on the information "
     "from the facts.\nIf a person got an item in the first location and travelled to the second "
     "location the item is also in the second location. If a person dropped an item in the first "
     "location and moved to the second location the item remains in the first location.",
     "<example>\nJohn journeyed to the bedroom. Mary grabbed the apple. Mary went back to the "
     "bathroom. Daniel journeyed to the bedroom. Daniel moved to the garden. Mary travelled to the "
     "kitchen. Where was the apple before the kitchen?\nAnswer: Before the kitchen the apple was in "
     "the bathroom.\n</example>\n<example>\nJohn went back to the bedroom. John went back to the "
     "garden. John went back to the kitchen. Sandra took the football. Sandra travelled to the "
     "garden. Sandra journeyed to the bedroom. Where was the football before the bedroom?\nAnswer: "
     "Before the bedroom the football was in the garden.\n</example>",
     "Always return your answer in the following format: Before the $location_1$ the $item$ was in "
     "the $location_2$. Do not write anything else after that.",
     kPlaces},
    {"babilong_qa4", "qa4", "how two places lie",
     "I will give you context with the facts about different people, their location and actions, "
     "hidden in some random text and a question. You need to answer the question based only on the "
     "information from the facts.",
     "<example>\nThe hallway is south of the kitchen. The bedroom is north of the kitchen. What is "
     "the kitchen south of?\nAnswer: bedroom\n</example>\n<example>\nThe garden is west of the "
     "bedroom. The bedroom is west of the kitchen. What is west of the bedroom?\nAnswer: "
     "garden\n</example>",
     "Your answer should contain only one word - location. Do not write anything else after that.", kPlaces},
    {"babilong_qa5", "qa5", "who gave what to whom",
     "I will give you context with the facts about locations and their relations hidden in some "
     "random text and a question. You need to answer the question based only on the information from "
     "the facts.",
     "<example>\nMary picked up the apple there. Mary gave the apple to Fred. Mary moved to the "
     "bedroom. Bill took the milk there. Who did Mary give the apple to?\nAnswer: "
     "Fred\n</example>\n<example>\nJeff took the football there. Jeff passed the football to Fred. "
     "Jeff got the milk there. Bill travelled to the bedroom. Who gave the football?\nAnswer: "
     "Jeff\n</example>\n<example>\nFred picked up the apple there. Fred handed the apple to Bill. "
     "Bill journeyed to the bedroom. Jeff went back to the garden. What did Fred give to "
     "Bill?\nAnswer: apple\n</example>",
     "Your answer should contain only one word. Do not write anything else after that. Do not explain "
     "your answer.",
     kNamesAndThings},
};

// "4k" is 4000 tokens; 0 for a name that is no length.
int64_t length_of_folder(std::string name) {
  int64_t unit = 1;
  if (name.ends_with("k")) unit = 1000;
  if (name.ends_with("M")) unit = 1000000;
  if (unit > 1) name.pop_back();
  int64_t length = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), length);
  const bool number = error == std::errc() && end == name.data() + name.size();
  return number && length > 0 && length < 100000 ? length * unit : 0;
}

std::string without_outer_blanks(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

std::string small_letters(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

Example example_of(const BabiTask& task, const Record& record) {
  const std::string question = record.text("question");
  Example example;
  example.prompt =
      fmt::format("{}\n\n{}\n\n{}\n\n<context>\n{}\n</context>\n\nQuestion: {}", task.instruction,
                  task.examples, task.format, without_outer_blanks(record.text("input")), question);
  example.prompt = without_outer_blanks(example.prompt);
  example.answers = {record.text("target")};
  if (example.answers[0].empty()) record.refuse("target", "is empty");
  // A label that the question names is never the answer.
  for (const char* label : task.labels) {
    if (small_letters(question).find(label) == std::string::npos) example.classes.emplace_back(label);
  }
  example.metric = "babilong";
  example.max_tokens = 20;
  return example;
}

void read_file_task(const BabiTask& task, const fs::path& file, int64_t length, const TaskOptions& options,
                    std::vector<Example>& examples) {
  int64_t count = 0;
  for_each_record(file.string(), [&](const Record& record) {
    Example example = example_of(task, record);
    example.id = length > 0 ? fmt::format("{}/{}/{}", task.name, length, count)
                            : fmt::format("{}/{}", task.name, count);
    example.task = task.name;
    example.group = "babilong";
    if (length > 0) example.facets["length"] = static_cast<double>(length);
    examples.push_back(std::move(example));
    return ++count != options.examples;
  });
}

std::vector<Example> make_all(const BabiTask& task, const TaskOptions& options) {
  if (options.data.empty()) {
    fail(ErrorCode::kInvalidArgument, "task '{}' needs data: {}", task.name, kBabiNeeds);
  }
  std::error_code error;
  const fs::path data = fs::path(options.data).lexically_normal();
  const std::string file = std::string(task.file) + ".jsonl";
  std::vector<std::pair<int64_t, fs::path>> files;
  const std::string own_name = (data.has_filename() ? data : data.parent_path()).filename().string();
  if (fs::is_regular_file(data / file, error)) files.emplace_back(length_of_folder(own_name), data / file);
  if (files.empty()) {
    for (fs::directory_iterator entry(data, error), end; !error && entry != end; entry.increment(error)) {
      const fs::path below = entry->path() / file;
      std::error_code missing;
      if (fs::is_regular_file(below, missing))
        files.emplace_back(length_of_folder(entry->path().filename().string()), below);
    }
    if (error) fail(ErrorCode::kInvalidArgument, "cannot list '{}': {}", options.data, error.message());
  }
  if (files.empty()) {
    fail(ErrorCode::kInvalidArgument, "task '{}': no {} in '{}' or in a folder of it; it needs {}", task.name,
         file, options.data, kBabiNeeds);
  }
  std::sort(files.begin(), files.end());
  std::vector<Example> examples;
  for (const auto& [length, path] : files) read_file_task(task, path, length, options, examples);
  return examples;
}

}  // namespace

std::vector<TaskInfo> babilong_tasks() {
  std::vector<TaskInfo> tasks;
  for (const BabiTask& task : kBabiTasks) {
    tasks.push_back({task.name, "babilong", task.summary, kBabiNeeds,
                     [&task](const TaskOptions& options) { return make_all(task, options); }});
  }
  return tasks;
}

}  // namespace claa::eval
