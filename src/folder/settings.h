// The JSON files of a folder: objects whose members are asked for by name and kind.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/json.h"

namespace claa {

// An object of a JSON file. Members that are null count as absent; one of another kind throws kCorruptFile,
// naming the file and the member.
class Settings {
 public:
  // Both outlive this; `where` is the object's place in the file: "" or "rope_scaling.", say.
  Settings(const Json& object, const std::string& file, std::string where = "");

  const std::string& file() const { return *file_; }
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const Json* find(std::string_view key) const;
  std::optional<uint64_t> integer(std::string_view key) const;  // not negative
  std::optional<double> number(std::string_view key) const;     // finite
  std::optional<bool> flag(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;
  std::optional<Settings> object(std::string_view key) const;
  const std::vector<Json>* list(std::string_view key) const;  // null when absent
  uint64_t required_integer(std::string_view key) const;

  [[noreturn]] void corrupt(std::string_view key, std::string_view needed) const;
  [[noreturn]] void unsupported(std::string_view key, std::string_view why) const;

 private:
  const Json* object_;
  const std::string* file_;
  std::string where_;
};

bool file_exists(const std::filesystem::path& path);

// A JSON file in memory.
struct SettingsFile {
  std::string path;
  std::string text;  // viewed by `json`
  Json json;
  Settings root() const { return Settings(json, path); }
};

// Throws as FileMap does, and kCorruptFile for what is no JSON object.
SettingsFile read_settings(const std::string& path);
// Of a text; `path` is for messages.
SettingsFile parse_settings(std::string text, const std::string& path);

}  // namespace claa
