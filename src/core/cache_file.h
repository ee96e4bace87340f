// A small file that spares a later process some work: $XDG_CACHE_HOME/claa/NAME, or ~/.cache/claa/NAME.
// Whatever is wrong with it counts as no file: it can be deleted at any time.
#pragma once

#include <string>
#include <string_view>

namespace claa {

class CacheFile {
 public:
  // `key`: all that the content depends on, one line; a file of another key counts as none.
  CacheFile(const std::string& name, std::string key);
  // The content; empty for a missing, unreadable, damaged or foreign file.
  std::string read() const;
  // False when it cannot be written, as in a read-only home. The file appears whole or not at all.
  bool write(std::string_view content) const;
  const std::string& path() const { return path_; }  // empty when there is no home

 private:
  std::string path_, key_;
};

}  // namespace claa
