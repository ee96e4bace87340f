#include "core/file_map.h"
#include "core/usize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace claa {
namespace {

// Bytes of this process that are in memory and belong to files (those of a file system in memory are shared).
int64_t resident_file_bytes() {
  int64_t bytes = 0;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:") || line.starts_with("RssShmem:"))
      bytes += std::stoll(line.substr(line.find(':') + 1)) * 1024;
  }
  return bytes;
}

// A mapped file costs memory as long as the map lives, and no longer.
TEST(FileMap, GivesItsPagesBack) {
  constexpr int64_t kBytes = int64_t{16} << 20;
  const std::string path = testing::TempDir() + "/claa_file_map_test";
  std::ofstream(path, std::ios::binary) << std::string(usize(kBytes), 'x');
  const int64_t before = resident_file_bytes();
  {
    const FileMap map(path);
    EXPECT_EQ(std::ranges::count(map.bytes(), std::byte{'x'}), kBytes);
    EXPECT_GT(resident_file_bytes(), before + kBytes / 2);
  }
  EXPECT_LT(resident_file_bytes(), before + kBytes / 2);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace claa
