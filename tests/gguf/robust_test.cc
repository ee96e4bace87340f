// Damaged files: cut at every byte, and mutated at random with fixed seeds. Each either parses or raises an
// Error; that nothing is read outside the file is for the address sanitizer to see, so every view is read to
// its end.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "claa/error.h"
#include "gguf/file.h"
#include "gguf/quants.h"
#include "gguf/writer.h"
#include "raw_file.h"
#include "walk.h"

namespace claa::gguf {
namespace {

using Data = std::vector<std::byte>;

// A tiny file with every kind of section, whose last tensor ends where the file ends.
Data tiny_file(uint32_t version = 3) {
  Writer writer(version);
  writer.add("general.architecture", std::string("llama"));
  writer.add("llama.block_count", uint32_t{2});
  writer.add("flag", true);
  writer.add("strings", std::vector<std::string>{"ab", "", "c"});
  writer.add("ints", std::vector<int32_t>{1, -2, 3});
  writer.add("bools", std::vector<bool>{true, false});
  writer.add_raw("nested", ValueType::kArray,
                 test::Bytes().array(9, 2).array(0, 1).u8(7).array(8, 1).text("x").data);
  writer.add_tensor("a", {3}, TensorType::kF32, Data(12, std::byte{1}));
  writer.add_tensor("b", {32, 16}, TensorType::kQ4_0, Data(288, std::byte{0x5a}));
  return writer.to_bytes();
}

TEST(Truncated, AtEveryByte) {
  for (const uint32_t version : {2u, 3u}) {
    const Data whole = tiny_file(version);
    ASSERT_NO_THROW(test::walk(File::parse(whole, "whole.gguf")));
    for (size_t size = 0; size < whole.size(); ++size) {
      // A separate allocation of exactly this size, so that a read past the cut is seen.
      const Data cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
      try {
        File::parse(cut, "cut.gguf");
        FAIL() << "accepted when cut to " << size << " of " << whole.size() << " bytes";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kCorruptFile) << error.what();
        EXPECT_NE(std::string(error.what()).find(" at byte "), std::string::npos) << error.what();
      }
    }
  }
}

TEST(Truncated, InsideTensorDataNamesTheTensorAndTheFileSize) {
  Data bytes = tiny_file();
  bytes.pop_back();
  try {
    File::parse(bytes, "cut.gguf");
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("offset of 'b'"), std::string::npos) << message;
    EXPECT_NE(message.find("32 plus 288 bytes"), std::string::npos) << message;
    EXPECT_NE(message.find("data section of 319 bytes"), std::string::npos) << message;
    EXPECT_NE(message.find("truncated?"), std::string::npos) << message;
  }
}

TEST(Truncated, MissingPaddingAfterTheLastTensorIsNoDamage) {
  Writer writer;
  writer.add_tensor("a", {3}, TensorType::kF32, Data(12, std::byte{1}));
  Data bytes = writer.to_bytes();
  bytes.resize(bytes.size() - 20);
  EXPECT_EQ(File::parse(bytes, "unpadded.gguf").find_tensor("a")->data.size(), 12u);
  bytes.pop_back();
  EXPECT_THROW(File::parse(bytes, "cut.gguf"), Error);
}

// Parses and, when accepted, reads everything. Returns whether it was accepted.
bool survives(const Data& bytes) {
  try {
    test::walk(File::parse(bytes, "mutant.gguf"));
    return true;
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ErrorCode::kCorruptFile || error.code() == ErrorCode::kUnsupported)
        << error.what();
    return false;
  }
}

TEST(Mutated, EveryBitFlippedAlone) {
  const Data whole = tiny_file();
  size_t accepted = 0;
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    Data bytes = whole;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    accepted += survives(bytes);
  }
  // Flips in tensor data, strings and numbers are no damage to the format; flips in counts and types are.
  EXPECT_GT(accepted, 8 * size_t{288});
  EXPECT_LT(accepted, 8 * whole.size() - 1000);
}

TEST(Mutated, RandomBytesWithFixedSeeds) {
  const Data whole = tiny_file();
  const size_t header = whole.size() - 320;
  size_t accepted = 0;
  for (uint32_t seed = 0; seed < 4000; ++seed) {
    std::mt19937 random(seed);
    Data bytes = whole;
    const uint32_t changes = 1 + random() % 4;
    for (uint32_t i = 0; i < changes; ++i) {
      constexpr uint8_t kNasty[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
      const uint8_t byte = random() % 2 ? kNasty[random() % 5] : static_cast<uint8_t>(random());
      bytes[random() % header] = std::byte{byte};
    }
    accepted += survives(bytes);
  }
  EXPECT_GT(accepted, 100u);
  EXPECT_LT(accepted, 3900u);
}

TEST(Mutated, EveryEightByteFieldMadeHuge) {
  const Data whole = tiny_file();
  const uint64_t values[] = {
      0, 1, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffe0};
  for (size_t at = 0; at + 8 <= whole.size() - 320; ++at) {
    for (const uint64_t value : values) {
      Data bytes = whole;
      std::memcpy(bytes.data() + at, &value, sizeof(value));
      survives(bytes);
    }
  }
}

}  // namespace
}  // namespace claa::gguf
