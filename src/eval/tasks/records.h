// Data files of tasks: JSON and JSON Lines from elsewhere. Every message names the file, the line and the
// field.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace claa::eval {

// One object of a file.
class Record {
 public:
  Record(boost::json::object fields, std::string where)
      : fields_(std::move(fields)), where_(std::move(where)) {}

  const std::string& where() const { return where_; }  // "'FILE' line 3", which begins every message
  // Returns nullptr when the field is missing or null.
  const boost::json::value* find(const char* name) const;
  const boost::json::value& at(const char* name) const;

  std::string text(const char* name) const;  // a string, which may be empty
  std::string text_or(const char* name, std::string otherwise) const;
  int64_t integer(const char* name) const;
  std::vector<std::string> texts(const char* name) const;  // an array of strings, not empty
  std::vector<std::string> texts_or_none(const char* name) const;

  // Throws Error{kInvalidArgument} with where, the field `name` and the problem.
  [[noreturn]] void refuse(const char* name, const std::string& what) const;

 private:
  boost::json::object fields_;
  std::string where_;
};

// Calls `use` with every object of a JSON Lines file until it returns false. Empty lines are skipped. Throws
// Error{kInvalidArgument} for a line that is no object and for a file without any.
void for_each_record(const std::string& path, const std::function<bool(const Record&)>& use);

// Reads a whole JSON file.
boost::json::value read_json_file(const std::string& path);

// The files in a folder whose names end with `ending`, in order; the path of a file gives that file. Throws
// Error{kInvalidArgument}, saying which task needs what, for an empty path and for a folder without such a
// file.
std::vector<std::string> data_files(const std::string& path, const std::string& ending,
                                    const std::string& task, const std::string& needs);

}  // namespace claa::eval
