#include "core/cache_file.h"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/file_map.h"

namespace claa {
namespace {

namespace fs = std::filesystem;

class CacheFileTest : public testing::Test {
 protected:
  CacheFileTest() : folder_(fs::temp_directory_path() / ("claa-cache-" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  ~CacheFileTest() override { fs::remove_all(folder_); }
  CacheFile at(const std::string& key) const { return {(folder_ / "claa").string(), "a", key}; }
  void put(const CacheFile& file, const std::string& bytes) {
    std::ofstream(file.path(), std::ios::binary | std::ios::trunc) << bytes;
  }
  fs::path folder_;
};

TEST_F(CacheFileTest, ReadsWhatWasWritten) {
  const CacheFile file = at("gpu 1");
  EXPECT_EQ(file.read(), "");
  ASSERT_TRUE(file.write("one\ntwo\n"));
  EXPECT_EQ(file.path(), (folder_ / "claa" / "a").string());
  EXPECT_EQ(file.read(), "one\ntwo\n");
  ASSERT_TRUE(file.write("three"));
  EXPECT_EQ(at("gpu 1").read(), "three");
  ASSERT_TRUE(file.write(""));
  EXPECT_EQ(file.read(), "");
}

TEST_F(CacheFileTest, AnotherKeyIsNoFile) {
  ASSERT_TRUE(at("gpu 1").write("one"));
  EXPECT_EQ(at("gpu 2").read(), "");
  EXPECT_EQ(at("gpu").read(), "");
  EXPECT_EQ(at("gpu 1").read(), "one");
}

// Every byte matters, and so does the length.
TEST_F(CacheFileTest, DamageIsNoFile) {
  const CacheFile file = at("key");
  ASSERT_TRUE(file.write("content"));
  const std::string good = read_file(file.path());
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    put(file, bad);
    EXPECT_EQ(file.read(), "") << i;
    put(file, good.substr(0, i));
    EXPECT_EQ(file.read(), "") << i;
  }
  put(file, good + "x");
  EXPECT_EQ(file.read(), "");
  ASSERT_TRUE(file.write(std::string(size_t{17} << 20, 'x')));
  EXPECT_EQ(file.read(), "") << "too large";
  put(file, good);
  EXPECT_EQ(file.read(), "content");
}

TEST_F(CacheFileTest, OnlyFilesAreReplaced) {
  const CacheFile file = at("key");
  fs::create_directories(fs::path(file.path()).parent_path());
  ASSERT_EQ(mkfifo(file.path().c_str(), 0600), 0);
  EXPECT_EQ(file.read(), "");
  EXPECT_FALSE(file.write("content"));  // would wait for a reader
  fs::remove(file.path());
  const std::string other = (folder_ / "other").string();
  std::ofstream(other) << "of somebody else";
  fs::create_symlink(other, file.path());
  EXPECT_FALSE(file.write("content"));
  EXPECT_EQ(read_file(other), "of somebody else");
}

TEST_F(CacheFileTest, WhatCannotBeReadOrWrittenIsNoError) {
  const CacheFile file = at("key");
  fs::create_directories(file.path());  // a folder with the file's name
  EXPECT_EQ(file.read(), "");
  EXPECT_FALSE(file.write("content"));
  std::ofstream(folder_ / "plain") << "x";
  EXPECT_FALSE(CacheFile((folder_ / "plain").string(), "a", "key").write("content"));
}

TEST_F(CacheFileTest, WithoutAFolderThereIsNone) {
  const CacheFile file("", "a", "key");
  EXPECT_EQ(file.path(), "");
  EXPECT_EQ(file.read(), "");
  EXPECT_FALSE(file.write("content"));
}

}  // namespace
}  // namespace claa
