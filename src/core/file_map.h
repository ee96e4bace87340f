// A read-only memory map of a regular file. Owns the mapping; movable, not copyable.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace claa {

class FileMap {
 public:
  // Maps `path`. Throws kNotFound (missing), kInvalidArgument (a directory or a device) or kIo (unreadable).
  explicit FileMap(const std::string& path);
  ~FileMap();
  FileMap(FileMap&& other) noexcept;
  FileMap& operator=(FileMap&& other) noexcept;
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }

 private:
  void* data_ = nullptr;  // nullptr for an empty file
  size_t size_ = 0;
};

// Reads a whole regular file. Throws as FileMap does.
std::string read_file(const std::string& path);

}  // namespace claa
