// Models that are split into several files: opened from the first, equal to the whole, and refused by name
// where the files do not belong together.
#include "gguf/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "claa/error.h"
#include "gguf/file.h"
#include "gguf/writer.h"
#include "walk.h"

namespace claa::gguf {
namespace {

using Data = std::vector<std::byte>;

// Six tensors, of sizes that leave gaps before the alignment.
Writer whole_model() {
  Writer writer;
  writer.add("general.architecture", std::string("llama"));
  writer.add("llama.block_count", uint32_t{2});
  for (uint64_t i = 0; i < 6; ++i)
    writer.add_tensor("t" + std::to_string(i), {3 + i}, TensorType::kF32,
                      Data(4 * (3 + i), std::byte(i + 1)));
  return writer;
}

class Split : public testing::Test {
 protected:
  Split() { std::filesystem::create_directories(folder_); }
  ~Split() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string file(int number, int count, const std::string& name = "model") const {
    return path(name + fmt::format("-{:05}-of-{:05}.gguf", number, count));
  }
  void write(const std::vector<Writer>& files) const {
    for (size_t i = 0; i < files.size(); ++i)
      files[i].write(file(static_cast<int>(i) + 1, static_cast<int>(files.size())));
  }
  void expect_refused(const std::string& file, ErrorCode code, const std::vector<std::string>& parts) const {
    try {
      File::open(file);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      for (const std::string& part : parts) EXPECT_THAT(error.what(), testing::HasSubstr(part));
    }
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) /
      ("split_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
};

TEST_F(Split, EqualsTheWhole) {
  const Writer model = whole_model();
  model.write(path("whole.gguf"));
  write(model.split({1, 3, 0, 2}));
  const File whole = File::open(path("whole.gguf"));
  const File split = File::open(file(1, 4));
  ASSERT_EQ(split.tensors().size(), whole.tensors().size());
  for (size_t i = 0; i < whole.tensors().size(); ++i) {
    const TensorInfo& tensor = split.tensors()[i];
    EXPECT_EQ(tensor.name, whole.tensors()[i].name);
    EXPECT_EQ(tensor.shape, whole.tensors()[i].shape);
    EXPECT_TRUE(std::ranges::equal(tensor.data, whole.tensors()[i].data)) << tensor.name;
    EXPECT_EQ(split.find_tensor(tensor.name), &tensor);
  }
  EXPECT_EQ(split.get_uint("llama.block_count"), 2u);
  EXPECT_EQ(weights_fingerprint(split), weights_fingerprint(whole));
  EXPECT_NO_THROW(test::walk(split));
}

TEST_F(Split, FilesMayDifferInAlignmentAndVersion) {
  std::vector<Writer> files = whole_model().split({2, 4});
  Writer second(2, 64);
  second.add("split.no", uint64_t{1});
  second.add("split.count", uint32_t{2});
  second.add("split.tensors.count", uint32_t{3});
  second.add_tensor("late", {2}, TensorType::kF16, Data(4, std::byte{9}));
  files[0] = Writer();
  files[0].add("split.no", int32_t{0});
  files[0].add("split.count", int32_t{2});
  files[0].add("split.tensors.count", uint64_t{3});
  files[0].add_tensor("a", {1}, TensorType::kF32, Data(4, std::byte{7}));
  files[0].add_tensor("b", {1}, TensorType::kF32, Data(4, std::byte{8}));
  files[1] = second;
  write(files);
  const File split = File::open(file(1, 2));
  EXPECT_EQ(split.find_tensor("late")->data[0], std::byte{9});
  EXPECT_EQ(split.find_tensor("b")->data[0], std::byte{8});
}

TEST_F(Split, LaterFileNamesTheFirst) {
  write(whole_model().split({2, 2, 2}));
  expect_refused(file(2, 3), ErrorCode::kUnsupported,
                 {"file 2 of a model that is split into 3", "give the first, '" + file(1, 3) + "'"});
  std::filesystem::rename(file(3, 3), path("other.gguf"));
  expect_refused(path("other.gguf"), ErrorCode::kUnsupported, {"file 3", "NAME-00001-of-00003.gguf"});
}

TEST_F(Split, MissingFileIsNamed) {
  write(whole_model().split({2, 2, 2}));
  std::filesystem::remove(file(2, 3));
  expect_refused(file(1, 3), ErrorCode::kNotFound,
                 {file(2, 3), "file 2 of the 3 that '" + file(1, 3) + "' begins", "one folder"});
}

TEST_F(Split, RenamedFirstFileSaysHowOthersAreFound) {
  write(whole_model().split({2, 4}));
  std::filesystem::rename(file(1, 2), path("model.gguf"));
  expect_refused(path("model.gguf"), ErrorCode::kInvalidArgument, {"-00001-of-00002.gguf"});
}

TEST_F(Split, TruncatedFileIsNamed) {
  write(whole_model().split({2, 4}));
  std::filesystem::resize_file(file(2, 2), std::filesystem::file_size(file(2, 2)) - 40);
  expect_refused(file(1, 2), ErrorCode::kCorruptFile, {file(2, 2), "truncated?"});
  std::filesystem::resize_file(file(2, 2), 0);
  expect_refused(file(1, 2), ErrorCode::kCorruptFile, {file(2, 2), "the file is empty"});
}

// Each case changes the second of two files.
struct WrongFile {
  const char* name;
  std::function<Writer()> second;
  std::vector<std::string> parts;
};

Writer second_of_two(uint16_t number, uint16_t count, int32_t tensors, const std::string& tensor) {
  Writer writer;
  writer.add("split.no", number);
  writer.add("split.count", count);
  writer.add("split.tensors.count", tensors);
  writer.add_tensor(tensor, {1}, TensorType::kF32, Data(4));
  return writer;
}

std::vector<WrongFile> wrong_files() {
  return {
      {"Number", [] { return second_of_two(2, 2, 6, "x"); }, {"split.no is 2, but 1 is needed"}},
      {"First", [] { return second_of_two(0, 2, 6, "x"); }, {"split.no is 0, but 1 is needed"}},
      {"Count", [] { return second_of_two(1, 3, 6, "x"); }, {"split.count is 3, but 2 is needed"}},
      {"Tensors", [] { return second_of_two(1, 2, 6, "x"); }, {"split.tensors.count is 7, but 6 is needed"}},
      {"Double", [] { return second_of_two(1, 2, 6, "t1"); }, {"tensor 't1' is in", "too"}},
      {"NoSplit", [] { return Writer(); }, {"split.no is missing, but 1 is needed"}},
      {"OtherModel",
       [] {
         Writer writer = second_of_two(1, 2, 6, "x");
         writer.add("general.architecture", std::string("qwen2"));
         return writer;
       },
       {"general.architecture is 'qwen2'", "'llama'"}},
      {"Type",
       [] {
         Writer writer;
         writer.add("split.no", std::string("1"));
         return writer;
       },
       {"'split.no'", "has type string"}},
  };
}

TEST_F(Split, WrongFilesAreNamed) {
  for (const WrongFile& wrong : wrong_files()) {
    SCOPED_TRACE(wrong.name);
    // The first file says that there are seven tensors where the second does not: it has five of them.
    const bool totals = std::string_view(wrong.name) == "Tensors";
    std::vector<Writer> files = whole_model().split({5, 1});
    if (totals) {
      files[0] = Writer();
      files[0].add("split.no", uint16_t{0});
      files[0].add("split.count", uint16_t{2});
      files[0].add("split.tensors.count", int32_t{7});
      for (int i = 0; i < 5; ++i)
        files[0].add_tensor("t" + std::to_string(i), {1}, TensorType::kF32, Data(4));
    }
    files[1] = wrong.second();
    write(files);
    std::vector<std::string> parts = wrong.parts;
    parts.push_back(file(totals ? 1 : 2, 2));
    expect_refused(file(1, 2), ErrorCode::kCorruptFile, parts);
  }
}

TEST_F(Split, SenselessCounts) {
  Writer many = second_of_two(0, 10000, 1, "x");
  many.write(file(1, 10000));
  expect_refused(file(1, 10000), ErrorCode::kCorruptFile,
                 {"split.count is 10000, more than the limit of 9999"});
  Writer beyond = second_of_two(7, 3, 1, "x");
  beyond.write(file(1, 3));
  expect_refused(file(1, 3), ErrorCode::kUnsupported, {"file 7", "NAME-00001-of-00003.gguf"});
}

TEST_F(Split, FromMemoryAllFilesAreGiven) {
  const std::vector<Writer> files = whole_model().split({4, 2});
  const Data first = files[0].to_bytes(), second = files[1].to_bytes();
  const std::vector<std::span<const std::byte>> both = {first, second};
  EXPECT_EQ(File::parse_split(both, "m-00001-of-00002.gguf").tensors().size(), 6u);
  EXPECT_THROW(File::parse(first, "m-00001-of-00002.gguf"), Error);
  const std::vector<std::span<const std::byte>> swapped = {second, first};
  EXPECT_THROW(File::parse_split(swapped, "m-00001-of-00002.gguf"), Error);
}

}  // namespace
}  // namespace claa::gguf
