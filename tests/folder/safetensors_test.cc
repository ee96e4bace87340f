// The reader of safetensors files over files that lie.
#include "folder/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "claa/error.h"
#include "folder/safetensors_file.h"

namespace claa {
namespace {

using test::safetensors;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kTwo =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},
"a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}})";

TEST(Safetensors, GivesWhatTheHeaderSays) {
  const std::vector<std::byte> bytes = safetensors(kTwo, 12);
  const std::vector<SafeTensor> tensors = parse_safetensors(bytes, "two");
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].name, "a") << "in the order of the data";
  EXPECT_EQ(tensors[0].dtype, "BF16");
  EXPECT_THAT(tensors[0].shape, ElementsAre(1, 2));
  EXPECT_EQ(tensors[1].data.size(), 8u);
  EXPECT_EQ(tensors[1].data.data() + 8, bytes.data() + bytes.size());
  EXPECT_TRUE(parse_safetensors(safetensors("{}", 0), "none").empty());
}

struct Lie {
  const char* name;
  const char* from;  // in kTwo
  const char* to;
  const char* part;
};

TEST(Safetensors, LiesAreRefusedByName) {
  const Lie lies[] = {
      {"Json", "{\"__", "{__", "the header is not a JSON object"},
      {"Twice", "\"b\":", "\"a\":", "tensor 'a' appears twice"},
      {"NoName", "\"b\":", "\"\":", "a tensor has no name"},
      {"Type", "F32", "F33", "unknown type 'F33'"},
      {"NoType", "\"dtype\":\"F32\"", "\"type\":\"F32\"", "dtype of tensor 'b' is missing"},
      {"Shape", "[2]", "[3]", "has 8 bytes of data, its shape and type need 12"},
      {"Negative", "[2]", "[-2]", "shape of tensor 'b' is no whole number"},
      {"Fraction", "[2]", "[2.0]", "shape of tensor 'b' is no whole number"},
      {"Overflow", "[2]", "[4611686018427387904,4]", "exceeds 2^64"},
      {"Dimensions", "[2]", "[1,1,1,1,1,1,1,1,2]", "9 dimensions"},
      {"Beyond", "[4,12]", "[5,13]", "lies at 5 to 13 of 12 bytes"},
      {"Backwards", "[4,12]", "[12,4]", "lies at 12 to 4"},
      {"Overlap", "[4,12]", "[3,11]", "the data of tensor 'b' overlap"},
      {"OneOffset", "[4,12]", "[4]", "are not two"},
      {"NoObject", "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}", "7",
       "tensor 'b' is not described"},
  };
  for (const Lie& lie : lies) {
    SCOPED_TRACE(lie.name);
    std::string header = kTwo;
    const size_t at = header.find(lie.from);
    ASSERT_NE(at, std::string::npos);
    header.replace(at, std::strlen(lie.from), lie.to);
    try {
      parse_safetensors(safetensors(header, 12), "lie.safetensors");
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
      EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("'lie.safetensors'"), HasSubstr(lie.part)));
    }
  }
}

TEST(Safetensors, CutAtEveryByte) {
  const std::vector<std::byte> whole = safetensors(kTwo, 12);
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THROW(parse_safetensors(cut, "cut"), Error) << size;
  }
}

TEST(Safetensors, OtherFiles) {
  const auto refused = [](const std::string& text, const char* part) {
    try {
      parse_safetensors(std::as_bytes(std::span(text)), "other");
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  };
  refused("", "0 bytes are no safetensors file");
  refused("version https://git-lfs.github.com/spec/v1", "Git LFS pointer");
  refused(std::string(100, '\xff'), "the format allows 100000000");
}

}  // namespace
}  // namespace claa
