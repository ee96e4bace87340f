#include "eval/draw/files.h"

#include <stdlib.h>

#include <cerrno>
#include <system_error>

#include "core/check.h"

namespace claa::eval {
namespace {

[[noreturn]] void fail_io(const char* what, const std::filesystem::path& path, const std::error_code& error) {
  fail(ErrorCode::kIo, "cannot {} {}: {}", what, path.string(), error.message());
}

std::error_code last_error() {
  return {errno, std::generic_category()};
}

}  // namespace

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail_io("make the folder", folder, error);
  if (!std::filesystem::is_directory(folder, error)) {
    fail(ErrorCode::kIo, "cannot write into {}: it is not a folder", folder.string());
  }
}

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (!error) return;
  std::error_code ignored;
  std::filesystem::remove(from, ignored);
  fail_io("write", to, error);
}

TemporaryFolder::TemporaryFolder(const std::filesystem::path& parent) {
  std::string name = (parent / ".claa-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) fail_io("make a temporary folder in", parent, last_error());
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace claa::eval
