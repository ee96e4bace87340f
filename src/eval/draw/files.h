// Folders of a report. Every function throws Error{kIo} with the path and the system's reason.
#pragma once

#include <filesystem>

namespace claa::eval {

void make_folder(const std::filesystem::path& folder);  // with its parents; an existing folder is fine

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);

// A new folder inside `parent`, removed with all its contents.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& parent);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace claa::eval
