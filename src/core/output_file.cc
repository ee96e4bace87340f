#include "core/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/check.h"
#include "core/usize.h"

namespace claa {
namespace {

constexpr int kAttempts = 100;

}  // namespace

OutputFile::OutputFile(const std::string& path) : path_(path) {
  namespace fs = std::filesystem;
  struct stat old {};
  const bool exists = stat(path.c_str(), &old) == 0;
  if (path.empty()) refuse(ENOENT);
  if (exists && S_ISDIR(old.st_mode)) refuse(EISDIR);
  if (exists && !S_ISREG(old.st_mode)) {
    fd_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) refuse(errno);
    return;
  }
  if (exists && access(path.c_str(), W_OK) != 0) refuse(errno);  // a rename would replace it all the same
  std::error_code error;
  target_ = exists ? fs::canonical(path, error).string() : path;
  if (error) refuse(error.value());
  const fs::path folder = fs::path(target_).parent_path();
  std::string temporary;
  for (int i = 0; fd_ < 0 && i < kAttempts; ++i) {  // a name may be left from a process that was killed
    temporary = (folder / fmt::format(".claa-{}-{}.tmp", getpid(), i)).string();
    fd_ = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST) break;
  }
  if (fd_ < 0) refuse(errno);
  temporary_ = temporary;
  if (exists) static_cast<void>(fchmod(fd_, old.st_mode & 07777));
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void OutputFile::commit(std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = write(fd_, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse(errno);
    content.remove_prefix(usize(written));
  }
  if (close(std::exchange(fd_, -1)) != 0) refuse(errno);
  if (temporary_.empty()) return;
  if (rename(temporary_.c_str(), target_.c_str()) != 0) refuse(errno);
  temporary_.clear();
}

void OutputFile::refuse(int error) const {
  fail(ErrorCode::kIo, "cannot write '{}': {}", path_, std::strerror(error));
}

}  // namespace claa
