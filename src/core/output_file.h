// A file that appears whole or not at all.
#pragma once

#include <string>
#include <string_view>

namespace claa {

// Opens a temporary file beside the target, so that a path that cannot be written is refused before any work;
// commit() writes it and renames it to the target. Without commit() nothing is left behind. A target that is
// not a regular file, such as a pipe, is written to directly.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void commit(std::string_view content);

 private:
  [[noreturn]] void refuse(int error) const;
  std::string path_;    // as the user wrote it
  std::string target_;  // with symbolic links followed
  std::string temporary_;
  int fd_ = -1;
};

}  // namespace claa
