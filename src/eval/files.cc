#include "eval/files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <sstream>
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

// Returns 0 or the error number.
int write_all(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    content.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

// Two writers of one path, threads or processes, must not share a temporary file.
std::filesystem::path temporary_name(const std::filesystem::path& path) {
  static std::atomic<unsigned> counter{0};
  std::filesystem::path name = path;
  name.replace_filename(fmt::format(".{}.{}.{}", path.filename().string(), ::getpid(), counter++));
  return name;
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

void write_file(const std::filesystem::path& path, std::string_view content) {
  const std::filesystem::path temporary = temporary_name(path);
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_io("write", path, last_error());
  int error = write_all(descriptor, content);
  if (::close(descriptor) != 0 && error == 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    fail_io("write", path, {error, std::generic_category()});
  }
  rename_file(temporary, path);
}

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (!error) return;
  std::error_code ignored;
  std::filesystem::remove(from, ignored);
  fail_io("write", to, error);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail_io("read", path, last_error());
  std::ostringstream content;
  content << file.rdbuf();
  if (file.bad()) fail_io("read", path, std::make_error_code(std::errc::io_error));
  return content.str();
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
