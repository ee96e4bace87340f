#include "eval/study/json_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "core/check.h"
#include "core/file_map.h"
#include "output/json.h"
#include "text/document.h"

namespace claa::eval {

namespace json = boost::json;

std::string beside(const std::string& file, const std::string& path) {
  if (path.empty() || std::filesystem::path(path).is_absolute()) return path;
  return (std::filesystem::path(file).parent_path() / path).lexically_normal().string();
}

JsonObject JsonObject::read(const std::string& path) {
  boost::system::error_code error;
  const json::value value = json::parse(decode_document(read_file(path), path).text, error);
  if (error) fail(ErrorCode::kInvalidArgument, "'{}' is not JSON: {}", path, error.message());
  if (!value.is_object()) fail(ErrorCode::kInvalidArgument, "'{}' must hold one JSON object", path);
  return {value.as_object(), fmt::format("'{}'", path)};
}

void JsonObject::allow(std::initializer_list<std::string_view> names) const {
  for (const auto& [name, value] : object_) {
    if (std::find(names.begin(), names.end(), std::string_view(name)) == names.end()) {
      fail(ErrorCode::kInvalidArgument, "{}: unknown field '{}'; there are {}", where_, std::string(name),
           fmt::join(names, ", "));
    }
  }
}

void JsonObject::refuse(std::string_view name, const char* wanted) const {
  fail(ErrorCode::kInvalidArgument, "{}: '{}' must be {}, not {}", where_, name, wanted,
       object_.contains(name) ? json_text(object_.at(name)).substr(0, 80) : "missing");
}

const json::value& JsonObject::need(std::string_view name) const {
  const json::value* value = object_.if_contains(name);
  if (value == nullptr) fail(ErrorCode::kInvalidArgument, "{}: field '{}' is missing", where_, name);
  return *value;
}

std::string JsonObject::text(std::string_view name, const std::optional<std::string>& otherwise) const {
  if (otherwise && !has(name)) return *otherwise;
  const json::value& value = need(name);
  if (!value.is_string()) refuse(name, "a string");
  return std::string(value.as_string());
}

double JsonObject::number(std::string_view name) const {
  const json::value& value = need(name);
  if (!value.is_number()) refuse(name, "a number");
  return value.to_number<double>();
}

std::vector<std::string> JsonObject::texts(std::string_view name) const {
  const json::value& value = need(name);
  if (!value.is_array()) refuse(name, "a list");
  std::vector<std::string> texts;
  for (const json::value& item : value.as_array()) {
    if (!item.is_string() && !item.is_number()) refuse(name, "a list of strings or numbers");
    texts.push_back(item.is_string()   ? std::string(item.as_string())
                    : item.is_double() ? fmt::format("{}", item.as_double())
                                       : json_text(item));
  }
  return texts;
}

std::vector<int64_t> JsonObject::integers(std::string_view name) const {
  const json::value& value = need(name);
  if (!value.is_array()) refuse(name, "a list");
  std::vector<int64_t> integers;
  for (const json::value& item : value.as_array()) {
    boost::system::error_code error;
    integers.push_back(item.to_number<int64_t>(error));
    if (error) refuse(name, "a list of integers");
  }
  return integers;
}

json::object JsonObject::object(std::string_view name) const {
  const json::value* value = object_.if_contains(name);
  if (value == nullptr) return {};
  if (!value->is_object()) refuse(name, "an object");
  return value->as_object();
}

std::vector<JsonObject> JsonObject::objects(std::string_view name) const {
  const json::value& value = need(name);
  if (!value.is_array()) refuse(name, "a list of objects");
  std::vector<JsonObject> objects;
  for (const json::value& item : value.as_array()) {
    if (!item.is_object()) refuse(name, "a list of objects");
    objects.emplace_back(item.as_object(), fmt::format("{} {}[{}]", where_, name, objects.size()));
  }
  return objects;
}

}  // namespace claa::eval
