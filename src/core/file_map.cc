#include "core/file_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "core/usize.h"

namespace claa {
namespace {

// Closes a file descriptor on scope exit; a mapping stays valid without it.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

FileMap::FileMap(const std::string& path) {
  Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) {
    const ErrorCode code = errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo;
    fail(code, "cannot open '{}': {}", path, std::strerror(errno));
  }
  struct stat info {};
  if (fstat(file.fd, &info) != 0) fail(ErrorCode::kIo, "cannot stat '{}': {}", path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) fail(ErrorCode::kInvalidArgument, "'{}' is a directory, not a file", path);
  if (!S_ISREG(info.st_mode))
    fail(ErrorCode::kInvalidArgument, "'{}' is not a regular file; copy what it holds into one", path);
  size_ = usize(info.st_size);
  if (size_ == 0) return;
  data_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data_ == MAP_FAILED) {
    data_ = nullptr;
    fail(ErrorCode::kIo, "cannot map '{}' ({} bytes): {}", path, size_, std::strerror(errno));
  }
}

FileMap::~FileMap() {
  if (data_ != nullptr) munmap(data_, size_);
}

FileMap::FileMap(FileMap&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

FileMap& FileMap::operator=(FileMap&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

std::string read_file(const std::string& path) {
  const FileMap map(path);
  return {reinterpret_cast<const char*>(map.bytes().data()), map.bytes().size()};
}

}  // namespace claa
