// A small file that spares a later process some work. Whatever is wrong with it counts as no file: it can be
// deleted at any time.
#pragma once

#include <string>
#include <string_view>

namespace claa {

class CacheFile {
 public:
  // `key` is one line that names everything the content depends on; a file with another key counts as no
  // file.
  CacheFile(const std::string& folder, const std::string& name, std::string key);
  // The content; empty for a missing, unreadable, damaged or foreign file.
  std::string read() const;
  // Returns false when the file cannot be written, as in a read-only home. It appears whole or not at all.
  bool write(std::string_view content) const;
  const std::string& path() const { return path_; }  // empty without a folder

 private:
  std::string path_, key_;
};

}  // namespace claa
