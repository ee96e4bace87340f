#include "folder/settings.h"

#include <cmath>

#include "core/check.h"
#include "core/file_map.h"
#include "text/visible.h"

namespace claa {

Settings::Settings(const Json& object, const std::string& file, std::string where)
    : object_(&object), file_(&file), where_(std::move(where)) {}

const Json* Settings::find(std::string_view key) const {
  const Json* found = object_->find(key);
  return found == nullptr || found->is(Json::Kind::kNull) ? nullptr : found;
}

std::optional<uint64_t> Settings::integer(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  const std::optional<int64_t> value = found->integer();
  if (!value || *value < 0) corrupt(key, "a whole number");
  return static_cast<uint64_t>(*value);
}

std::optional<double> Settings::number(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  const std::optional<double> value = found->number();
  if (!value || !std::isfinite(*value)) corrupt(key, "a number");
  return value;
}

std::optional<bool> Settings::flag(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is(Json::Kind::kBool)) corrupt(key, "true or false");
  return found->source == "true";
}

std::optional<std::string> Settings::text(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is(Json::Kind::kString)) corrupt(key, "a string");
  return found->text;
}

std::optional<Settings> Settings::object(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is(Json::Kind::kObject)) corrupt(key, "an object");
  return Settings(*found, *file_, fmt::format("{}{}.", where_, key));
}

const std::vector<Json>* Settings::list(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) return nullptr;
  if (!found->is(Json::Kind::kArray)) corrupt(key, "a list");
  return &found->items;
}

uint64_t Settings::required_integer(std::string_view key) const {
  const std::optional<uint64_t> value = integer(key);
  if (!value) corrupt(key, "a whole number");
  return *value;
}

void Settings::corrupt(std::string_view key, std::string_view needed) const {
  const Json* found = object_->find(key);
  fail(ErrorCode::kCorruptFile, "'{}': {}{} is {}, but {} is needed", *file_, where_, visible_bytes(key),
       found == nullptr ? "missing" : visible_bytes(found->source, 60), needed);
}

void Settings::unsupported(std::string_view key, std::string_view why) const {
  const Json* found = object_->find(key);
  fail(ErrorCode::kUnsupported, "'{}': {}{} is {}; {}", *file_, where_, visible_bytes(key),
       found == nullptr ? "missing" : visible_bytes(found->source, 120), why);
}

bool file_exists(const std::filesystem::path& path) {
  std::error_code ignored;  // what cannot be looked at is as good as not there
  return std::filesystem::exists(path, ignored);
}

SettingsFile parse_settings(std::string text, const std::string& path) {
  // On the heap, as short strings move with their owner and Json views the text.
  SettingsFile file{path, std::move(text), {}};
  if (file.text.capacity() < 64) file.text.reserve(64);
  std::optional<Json> json = parse_json(file.text);
  if (!json || !json->is(Json::Kind::kObject))
    fail(ErrorCode::kCorruptFile, "'{}' is not a JSON object in UTF-8; fetch the file anew", path);
  file.json = std::move(*json);
  return file;
}

SettingsFile read_settings(const std::string& path) {
  return parse_settings(read_file(path), path);
}

}  // namespace claa
