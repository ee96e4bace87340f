// Files of a report: whole or not at all. Every function throws Error{kIo} with the path and the system's
// reason.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace claa::eval {

void make_folder(const std::filesystem::path& folder);  // with its parents; one that is there is fine

// Writes next to `path` under another name, then renames: a reader sees the old file or the new one.
void write_file(const std::filesystem::path& path, std::string_view content);
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);
std::string read_file(const std::filesystem::path& path);

// A new folder of its own inside `parent`, removed with all that is in it.
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
