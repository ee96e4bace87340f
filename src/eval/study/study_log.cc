#include "eval/study/study_log.h"

#include <sys/file.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/check.h"
#include "core/file_map.h"
#include "output/json.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

// Describes the first difference between two configurations; empty when they agree.
std::string difference(const json::object& before, const json::object& now) {
  for (const auto& [name, value] : now) {
    const json::value* old = before.if_contains(name);
    if (old == nullptr || *old != value) {
      return fmt::format("{} was {}, is {}", std::string(name), old == nullptr ? "not set" : json_text(*old),
                         json_text(value));
    }
  }
  return before.size() == now.size() ? "" : "it has other fields";
}

std::unique_ptr<std::FILE, int (*)(std::FILE*)> lock_file(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "ab"), std::fclose);
  if (file == nullptr) fail(ErrorCode::kIo, "cannot write '{}': {}", path, std::strerror(errno));
  // A file system without locks is no reason to refuse.
  if (flock(fileno(file.get()), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    fail(ErrorCode::kInvalidArgument, "another run is writing '{}'; wait for it or choose another folder",
         path);
  }
  return file;
}

}  // namespace

LogContent read_log(const std::string& path) {
  const std::string text = read_file(path);
  LogContent content;
  content.bytes = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
  size_t begin = 0;
  for (int64_t number = 1; begin < content.bytes; ++number) {
    const size_t end = text.find('\n', begin);
    boost::system::error_code error;
    const json::value value = json::parse(text.substr(begin, end - begin), error);
    begin = end + 1;
    if (error || !value.is_object()) {
      fail(ErrorCode::kCorruptFile, "'{}' line {} is not a JSON object; choose another folder", path, number);
    }
    if (number == 1) {
      content.configuration = value.as_object();
    } else {
      content.results.push_back(value.as_object());
    }
  }
  return content;
}

StudyLog::StudyLog(const std::string& path, const json::object& wanted)
    : path_(path), lock_(lock_file(path)) {
  LogContent content = read_log(path);
  // As it would be read again: a name that is not UTF-8 is written otherwise than it is.
  const std::string line = json_text(wanted);
  const json::object configuration = json::parse(line).as_object();
  const std::string differs = content.bytes == 0 ? "" : difference(content.configuration, configuration);
  if (!differs.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' holds results of another configuration: {}; choose another folder", path_, differs);
  }
  results_ = std::move(content.results);
  std::filesystem::resize_file(path, content.bytes);
  file_.open(path, std::ios::app | std::ios::binary);
  if (!file_) fail(ErrorCode::kIo, "cannot write '{}': {}", path, std::strerror(errno));
  if (file_.tellp() == std::streampos(0)) file_ << line << std::endl;
}

void StudyLog::add(const json::object& result) {
  const std::string line = json_text(result);
  file_ << line << std::endl;
  if (!file_) fail(ErrorCode::kIo, "cannot write '{}': {}", path_, std::strerror(errno));
  // Kept as it would be read again: what is computed from results must not depend on whether the run was
  // stopped.
  results_.push_back(json::parse(line).as_object());
}

}  // namespace claa::eval
