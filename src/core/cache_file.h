// A small file that saves a later process some work: $XDG_CACHE_HOME/claa/NAME, or ~/.cache/claa/NAME. A
// damaged file counts as no file, and it can be deleted at any time.
#pragma once

#include <string>
#include <string_view>

namespace claa {

class CacheFile {
 public:
  // `key` is one line that names everything the content depends on; a file with another key counts as no
  // file.
  CacheFile(const std::string& name, std::string key);
  // The content; empty for a missing, unreadable, damaged or foreign file.
  std::string read() const;
  // Returns false when the file cannot be written, as in a read-only home. It appears whole or not at all.
  bool write(std::string_view content) const;
  const std::string& path() const { return path_; }  // empty when there is no home

 private:
  std::string path_, key_;
};

}  // namespace claa
