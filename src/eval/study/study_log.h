// Results of a study as JSONL: the configuration first, then one object per prompt. A run that was stopped
// continues where it was; a changed configuration is refused rather than mixed in.
#pragma once

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "claa/error.h"

namespace claa::eval {

struct LogContent {
  boost::json::object configuration;
  std::vector<boost::json::object> results;
  size_t bytes = 0;  // bytes of whole lines; the rest was cut off while it was written
};
// Throws Error: {kNotFound} and {kIo} as for any file, {kCorruptFile} for a line that is no JSON object.
LogContent read_log(const std::string& path);

// What `read` makes of a line of the file `path`; what it refuses names the file first.
template <typename Read>
auto of_log(const std::string& path, Read read) {
  try {
    return read();
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("'{}': {}; choose another folder", path, error.what()));
  }
}

class StudyLog {
 public:
  // Opens or creates the file. A last line that was cut off is dropped. Throws Error{kInvalidArgument} naming
  // the first configuration value that differs, or because another log in any process has the file open;
  // {kCorruptFile} for a line that is no JSON object; {kIo}.
  StudyLog(const std::string& path, const boost::json::object& wanted);
  const std::string& path() const { return path_; }
  const std::vector<boost::json::object>& results() const { return results_; }
  // Appends one line and flushes it.
  void add(const boost::json::object& result);

 private:
  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> lock_;  // held while the log lives
  std::vector<boost::json::object> results_;
  std::ofstream file_;
};

}  // namespace claa::eval
