// Hand-written JSON files (sweeps, suites): every complaint names the file, the place and the field.
#pragma once

#include <boost/json.hpp>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace claa::eval {

// Resolves a path in such a file: relative paths start at the file's folder; an empty one stays empty.
std::string beside(const std::string& file, const std::string& path);

// One object of such a file. All functions throw Error{kInvalidArgument}.
class JsonObject {
 public:
  static JsonObject read(const std::string& path);
  // Wraps an object that is already parsed; `where` begins every complaint.
  JsonObject(boost::json::object object, std::string where)
      : object_(std::move(object)), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  const boost::json::object& json() const { return object_; }
  bool has(std::string_view name) const { return object_.contains(name); }
  // Refuses fields with other names, and offers these.
  void allow(std::initializer_list<std::string_view> names) const;

  std::string text(std::string_view name, const std::optional<std::string>& otherwise = {}) const;
  double number(std::string_view name) const;
  std::vector<std::string> texts(std::string_view name) const;  // numbers are taken as they are written
  std::vector<int64_t> integers(std::string_view name) const;
  boost::json::object object(std::string_view name) const;  // empty when it is not there
  std::vector<JsonObject> objects(std::string_view name) const;

 private:
  const boost::json::value& need(std::string_view name) const;
  [[noreturn]] void refuse(std::string_view name, const char* wanted) const;
  boost::json::object object_;
  std::string where_;
};

}  // namespace claa::eval
