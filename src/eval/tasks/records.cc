#include "eval/tasks/records.h"

#include <algorithm>
#include <filesystem>

#include "core/check.h"
#include "core/file_map.h"
#include "text/document.h"

namespace claa::eval {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

std::vector<std::string> strings(const Record& record, const char* name, const json::value& value) {
  if (!value.is_array()) record.refuse(name, "must be an array of strings");
  std::vector<std::string> texts;
  for (const json::value& item : value.as_array()) {
    if (!item.is_string()) record.refuse(name, "must be an array of strings");
    texts.emplace_back(item.as_string());
  }
  return texts;
}

}  // namespace

void Record::refuse(const char* name, const std::string& what) const {
  fail(ErrorCode::kInvalidArgument, "{}: field '{}' {}", where_, name, what);
}

const json::value* Record::find(const char* name) const {
  const json::value* value = fields_.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

const json::value& Record::at(const char* name) const {
  const json::value* value = find(name);
  if (value == nullptr) refuse(name, "is missing");
  return *value;
}

std::string Record::text(const char* name) const {
  const json::value& value = at(name);
  if (!value.is_string()) refuse(name, "must be a string");
  return std::string(value.as_string());
}

std::string Record::text_or(const char* name, std::string otherwise) const {
  return find(name) == nullptr ? otherwise : text(name);
}

int64_t Record::integer(const char* name) const {
  boost::system::error_code error;
  const int64_t number = at(name).to_number<int64_t>(error);
  if (error) refuse(name, "must be a whole number");
  return number;
}

std::vector<std::string> Record::texts(const char* name) const {
  std::vector<std::string> texts = strings(*this, name, at(name));
  if (texts.empty()) refuse(name, "is an empty array");
  return texts;
}

std::vector<std::string> Record::texts_or_none(const char* name) const {
  const json::value* value = find(name);
  return value == nullptr ? std::vector<std::string>() : strings(*this, name, *value);
}

void for_each_record(const std::string& path, const std::function<bool(const Record&)>& use) {
  const std::string text = decode_document(read_file(path), path).text;
  bool any = false;
  size_t begin = 0;
  for (int64_t number = 1; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    std::string where = fmt::format("'{}' line {}", path, number);
    boost::system::error_code error;
    json::value value = json::parse(line, error);
    if (error || !value.is_object()) {
      fail(ErrorCode::kInvalidArgument, "{}: not a JSON object{}{}", where, error ? ": " : "",
           error ? error.message() : "");
    }
    any = true;
    if (!use(Record(std::move(value.as_object()), std::move(where)))) return;
  }
  if (!any)
    fail(ErrorCode::kInvalidArgument, "'{}' has no records; it must hold one JSON object per line", path);
}

json::value read_json_file(const std::string& path) {
  boost::system::error_code error;
  json::value value = json::parse(decode_document(read_file(path), path).text, error);
  if (error) fail(ErrorCode::kInvalidArgument, "'{}' is not JSON: {}", path, error.message());
  return value;
}

std::vector<std::string> data_files(const std::string& path, const std::string& ending,
                                    const std::string& task, const std::string& needs) {
  if (path.empty()) {
    fail(ErrorCode::kInvalidArgument, "task '{}' needs data: {}", task, needs);
  }
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::is_directory(status)) {
    // A missing file is refused where it is read, with the system's message.
    if (fs::is_regular_file(status) && !path.ends_with(ending)) {
      fail(ErrorCode::kInvalidArgument,
           "task '{}' cannot read '{}': its name does not end with {}; it needs {}", task, path, ending,
           needs);
    }
    return {path};
  }
  std::vector<std::string> files;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().string();
    if (name.ends_with(ending) && entry->is_regular_file(error)) files.push_back(name);
  }
  if (error) fail(ErrorCode::kIo, "cannot list '{}': {}", path, error.message());
  if (files.empty()) {
    fail(ErrorCode::kInvalidArgument, "task '{}': no file in '{}' ends with {}; it needs {}", task, path,
         ending, needs);
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace claa::eval
