#include "core/cache_file.h"

#include <filesystem>
#include <span>

#include "core/check.h"
#include "core/file_map.h"
#include "core/fingerprint.h"
#include "core/output_file.h"

namespace claa {
namespace {

constexpr std::string_view kMagic = "claa-cache-1 ";
constexpr size_t kMostBytes = size_t{1} << 24;

// The first line is a checksum that finds damage in everything after it.
std::string first_line(std::string_view rest) {
  return fmt::format("{}{:016x}\n", kMagic, fingerprint(std::as_bytes(std::span(rest))));
}

}  // namespace

CacheFile::CacheFile(const std::string& folder, const std::string& name, std::string key)
    : key_(std::move(key)) {
  require(key_.find('\n') == std::string::npos, "the key of a cache file is one line");
  if (!folder.empty()) path_ = (std::filesystem::path(folder) / name).string();
}

std::string CacheFile::read() const {
  std::error_code error;
  if (path_.empty() || std::filesystem::file_size(path_, error) > kMostBytes || error) return "";
  try {
    const std::string text = read_file(path_);
    const size_t end = text.find('\n');
    if (end == std::string::npos || text.size() > kMostBytes) return "";
    const std::string_view rest = std::string_view(text).substr(end + 1);
    if (std::string_view(text).substr(0, end + 1) != first_line(rest)) return "";
    if (rest.substr(0, rest.find('\n')) != key_ || rest.size() <= key_.size()) return "";
    return std::string(rest.substr(key_.size() + 1));
  } catch (const Error&) {
    return "";
  }
}

bool CacheFile::write(std::string_view content) const {
  if (path_.empty()) return false;
  std::error_code error;
  // What else stands there, a link or a pipe, somebody else has put there.
  const std::filesystem::file_status status = std::filesystem::symlink_status(path_, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) return false;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), error);
  const std::string rest = fmt::format("{}\n{}", key_, content);
  try {
    OutputFile file(path_);
    file.commit(first_line(rest) + rest);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace claa
