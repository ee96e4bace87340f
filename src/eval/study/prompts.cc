#include "eval/study/prompts.h"

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <set>

#include "core/check.h"

namespace claa::eval {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

std::string string_field(const json::object& object, const char* name, const std::string& where,
                         std::string otherwise) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || value->is_null()) return otherwise;
  if (!value->is_string()) {
    fail(ErrorCode::kInvalidArgument, "{}: field '{}' must be a string", where, name);
  }
  return std::string(value->as_string());
}

StudyPrompt parse_line(const std::string& line, const std::string& where, const std::string& otherwise_id) {
  boost::system::error_code error;
  const json::value value = json::parse(line, error);
  if (error || !value.is_object()) {
    fail(ErrorCode::kInvalidArgument, "{}: not a JSON object{}", where, error ? ": " + error.message() : "");
  }
  const json::object& object = value.as_object();
  StudyPrompt prompt;
  prompt.prompt = string_field(object, "prompt", where, "");
  if (prompt.prompt.empty())
    fail(ErrorCode::kInvalidArgument, "{}: field 'prompt' is missing or empty", where);
  prompt.id = string_field(object, "id", where, otherwise_id);
  prompt.group = string_field(object, "group", where, "all");
  prompt.task = string_field(object, "task", where, prompt.group);
  prompt.answer_prefix = string_field(object, "answer_prefix", where, "");
  if (object.contains("gold") && !object.at("gold").is_null())
    prompt.gold = string_field(object, "gold", where, "");
  return prompt;
}

std::vector<StudyPrompt> parse_jsonl(const std::string& text, const std::string& path) {
  std::vector<StudyPrompt> prompts;
  size_t begin = 0;
  for (int64_t number = 1; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    prompts.push_back(parse_line(line, fmt::format("'{}' line {}", path, number), std::to_string(number)));
  }
  return prompts;
}

std::vector<StudyPrompt> read_folder(const std::string& path, const ReadText& read) {
  std::vector<StudyPrompt> prompts;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    const fs::path extension = entry.path().extension();
    if (extension != ".txt" && extension != ".md") continue;
    const std::string text = read(entry.path().string());
    if (text.empty())
      fail(ErrorCode::kInvalidArgument, "'{}' is empty; give it a text or take it away",
           entry.path().string());
    prompts.push_back({entry.path().filename().string(), "all", "all", text, "", {}});
  }
  std::sort(prompts.begin(), prompts.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return prompts;
}

// A pipe has no ending that tells; what begins as an object is one object per line.
bool is_jsonl(const std::string& path, const std::string& text) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return fs::path(path).extension() == ".jsonl";
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos && text[first] == '{';
}

std::vector<StudyPrompt> read_one(const std::string& path, const ReadText& read) {
  std::string text = read(path);
  if (is_jsonl(path, text)) return parse_jsonl(text, path);
  return {{fs::path(path).filename().string(), "all", "all", std::move(text), "", {}}};
}

}  // namespace

std::vector<StudyPrompt> read_prompts(const std::string& path, const ReadText& read) {
  std::error_code error;
  const std::vector<StudyPrompt> prompts =
      fs::is_directory(path, error) ? read_folder(path, read) : read_one(path, read);
  if (prompts.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' has no prompts; give .txt or .md files in a folder, or a .jsonl file", path);
  }
  std::set<std::string> ids;
  for (const StudyPrompt& prompt : prompts) {
    if (!ids.insert(prompt.id).second) {
      fail(ErrorCode::kInvalidArgument, "'{}' has two prompts with the id '{}'; give each its own", path,
           prompt.id);
    }
  }
  return prompts;
}

OracleRequest oracle_request(const StudyPrompt& prompt, bool use_gold, int64_t answer_tokens,
                             const std::atomic<bool>* cancel) {
  OracleRequest request;
  request.request.prompt = prompt.prompt;
  request.request.answer_prefix = prompt.answer_prefix;
  request.request.max_tokens = answer_tokens;
  request.request.cancel = cancel;
  if (use_gold && prompt.gold && !prompt.gold->empty()) request.gold = prompt.gold;
  return request;
}

void check_every_layer_ranks(const ModelSummary& model) {
  const int64_t blind = model.windowed_layers + model.recurrent_layers;
  if (blind == 0) return;
  fail(ErrorCode::kUnsupported,
       "'{}' {} {} of its {} layers, which cannot rank the prompt; diagnose and calibrate take models whose "
       "layers all see it",
       model.file, model.recurrent_layers > 0 ? "is recurrent in" : "has a sliding window in", blind,
       model.layers);
}

}  // namespace claa::eval
