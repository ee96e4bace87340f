// The reader on files from our writer, and on one from the gguf Python package.
#include "gguf/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "claa/error.h"
#include "core/usize.h"
#include "gguf/quants.h"
#include "gguf/writer.h"
#include "paths.h"
#include "raw_file.h"

namespace claa::gguf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Optional;
using Data = std::vector<std::byte>;

template <typename Call>
void expect_error(ErrorCode code, const std::vector<std::string>& parts, Call call) {
  try {
    call();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

template <typename T>
class Integer : public testing::Test {};
using Integers = testing::Types<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t>;
TYPED_TEST_SUITE(Integer, Integers);

TYPED_TEST(Integer, RoundTripsAsScalarAndArray) {
  const TypeParam low = std::numeric_limits<TypeParam>::min();
  const TypeParam high = std::numeric_limits<TypeParam>::max();
  Writer writer;
  writer.add("low", low);
  writer.add("high", high);
  writer.add("minus_one", static_cast<TypeParam>(-1));
  writer.add("array", std::vector<TypeParam>{low, 1, 100});
  writer.add("empty", std::vector<TypeParam>{});
  const Data bytes = writer.to_bytes();
  const File file = File::parse(bytes, "f");
  EXPECT_THAT(file.get_uint("high"), Optional(static_cast<uint64_t>(high)));
  EXPECT_THAT(file.get_float("high"), Optional(static_cast<double>(high)));
  EXPECT_THAT(file.get_float("low"), Optional(static_cast<double>(low)));
  EXPECT_THAT(file.get_ints("array"), Optional(ElementsAre(static_cast<int64_t>(low), 1, 100)));
  EXPECT_THAT(file.get_floats("array"), Optional(ElementsAre(static_cast<double>(low), 1.0, 100.0)));
  EXPECT_THAT(file.get_ints("empty"), Optional(ElementsAre()));
  EXPECT_EQ(file.array_of("array")->second, 3u);
  if constexpr (std::is_signed_v<TypeParam>) {
    expect_error(ErrorCode::kCorruptFile, {"'minus_one'", "is -1"}, [&] { file.get_uint("minus_one"); });
    expect_error(ErrorCode::kCorruptFile,
                 {"'f': value of 'low'", "is " + std::to_string(low), "unsigned integer"},
                 [&] { file.get_uint("low"); });
  } else {
    EXPECT_THAT(file.get_uint("low"), Optional(0u));
  }
}

TEST(File, RoundTripsEverythingElse) {
  for (const uint32_t version : {2u, 3u}) {
    Writer writer(version);
    writer.add("f32", 0.1f);
    writer.add("f64", 0.1);
    writer.add("yes", true);
    writer.add("no", false);
    writer.add("text", std::string("h\xc3\xa9\0x", 5));
    writer.add("blank", std::string());
    writer.add("floats", std::vector<float>{1.5f, -2.0f});
    writer.add("doubles", std::vector<double>{1e300});
    writer.add("bools", std::vector<bool>{true, false, true});
    writer.add("strings", std::vector<std::string>{"a", "", "long enough to be no short string"});
    const Data bytes = writer.to_bytes();
    const File file = File::parse(bytes, "f");
    EXPECT_EQ(file.version(), version);
    EXPECT_EQ(file.name(), "f");
    EXPECT_EQ(file.alignment(), 32u);
    EXPECT_THAT(file.keys(), ElementsAre("f32", "f64", "yes", "no", "text", "blank", "floats", "doubles",
                                         "bools", "strings"));
    EXPECT_THAT(file.get_float("f32"), Optional(static_cast<double>(0.1f)));
    EXPECT_THAT(file.get_float("f64"), Optional(0.1));
    EXPECT_THAT(file.get_bool("yes"), Optional(true));
    EXPECT_THAT(file.get_bool("no"), Optional(false));
    EXPECT_THAT(file.get_string("text"), Optional(std::string_view("h\xc3\xa9\0x", 5)));
    EXPECT_THAT(file.get_string("blank"), Optional(std::string_view()));
    EXPECT_THAT(file.get_floats("floats"), Optional(ElementsAre(1.5, -2.0)));
    EXPECT_THAT(file.get_floats("doubles"), Optional(ElementsAre(1e300)));
    EXPECT_THAT(file.get_bools("bools"), Optional(ElementsAre(true, false, true)));
    EXPECT_THAT(file.get_strings("strings"),
                Optional(ElementsAre("a", "", "long enough to be no short string")));
    EXPECT_TRUE(file.tensors().empty());
  }
}

TEST(File, AbsentKeysAreEmpty) {
  const Data bytes = Writer().to_bytes();
  const File file = File::parse(bytes, "f");
  EXPECT_FALSE(file.has("k"));
  EXPECT_EQ(file.type_of("k"), std::nullopt);
  EXPECT_EQ(file.array_of("k"), std::nullopt);
  EXPECT_EQ(file.get_uint("k"), std::nullopt);
  EXPECT_EQ(file.get_float("k"), std::nullopt);
  EXPECT_EQ(file.get_bool("k"), std::nullopt);
  EXPECT_EQ(file.get_string("k"), std::nullopt);
  EXPECT_EQ(file.get_strings("k"), std::nullopt);
  EXPECT_EQ(file.get_ints("k"), std::nullopt);
  EXPECT_EQ(file.get_floats("k"), std::nullopt);
  EXPECT_EQ(file.get_bools("k"), std::nullopt);
  EXPECT_EQ(file.find_tensor("k"), nullptr);
}

TEST(File, WrongTypesAreRefusedNamingKeyAndTypes) {
  const auto corrupt = ErrorCode::kCorruptFile;
  Writer writer;
  writer.add("text", std::string("5"));
  writer.add("number", uint32_t{5});
  writer.add("real", 5.0f);
  writer.add("flag", true);
  writer.add("array", std::vector<float>{1});
  writer.add("big", std::vector<uint64_t>{1, uint64_t{1} << 63});
  writer.add_raw("nested", ValueType::kArray, test::Bytes().array(9, 1).array(8, 1).text("x").data);
  const Data bytes = writer.to_bytes();
  const File file = File::parse(bytes, "f");
  // The value of the first pair: header 24, key 8 + 4, type 4, string length 8.
  expect_error(corrupt,
               {"'f': value of 'text' at byte 48: has type string, but an unsigned integer is needed"},
               [&] { file.get_uint("text"); });
  expect_error(corrupt, {"'real'", "has type f32", "unsigned integer"}, [&] { file.get_uint("real"); });
  expect_error(corrupt, {"'flag'", "has type bool", "unsigned integer"}, [&] { file.get_uint("flag"); });
  expect_error(corrupt, {"'flag'", "has type bool", "a number"}, [&] { file.get_float("flag"); });
  expect_error(corrupt, {"'number'", "has type u32", "a bool"}, [&] { file.get_bool("number"); });
  expect_error(corrupt, {"'number'", "has type u32", "a string"}, [&] { file.get_string("number"); });
  expect_error(corrupt, {"'text'", "has type string", "an array of strings"},
               [&] { file.get_strings("text"); });
  expect_error(corrupt, {"'array'", "has type array of f32", "array of integers"},
               [&] { file.get_ints("array"); });
  expect_error(corrupt, {"'number'", "has type u32", "array of numbers"}, [&] { file.get_floats("number"); });
  expect_error(corrupt, {"'array'", "has type array of f32", "array of bools"},
               [&] { file.get_bools("array"); });
  expect_error(corrupt, {"'nested'", "array of array", "array of strings"},
               [&] { file.get_strings("nested"); });
  expect_error(corrupt, {"'big'", "9223372036854775808", "below 2^63"}, [&] { file.get_ints("big"); });
}

TEST(File, TensorsOfEveryTypeRoundTrip) {
  for (const uint32_t alignment : {8u, 32u, 256u}) {
    Writer writer(3, alignment);
    for (const TensorType type : all_types()) {
      const uint64_t row = 2 * block_elements(type);
      Data data(3 * 2 * block_bytes(type), std::byte(static_cast<uint8_t>(type) + 1));
      writer.add_tensor(std::string(type_name(type)), {row, 3}, type, data);
    }
    const Data bytes = writer.to_bytes();
    const File file = File::parse(bytes, "f");
    EXPECT_EQ(file.alignment(), alignment);
    ASSERT_EQ(file.tensors().size(), all_types().size());
    for (const TensorType type : all_types()) {
      const TensorInfo* tensor = file.find_tensor(type_name(type));
      ASSERT_NE(tensor, nullptr);
      EXPECT_EQ(tensor->type, type);
      EXPECT_THAT(tensor->shape, ElementsAre(2 * block_elements(type), 3));
      EXPECT_EQ(tensor->elements(), 6 * block_elements(type));
      EXPECT_EQ(usize(tensor->data.data() - bytes.data()) % alignment, 0u);
      ASSERT_EQ(tensor->data.size(), 6 * block_bytes(type));
      for (const std::byte b : tensor->data) ASSERT_EQ(b, std::byte(static_cast<uint8_t>(type) + 1));
    }
    EXPECT_EQ(file.find_tensor("q4_0"), nullptr);
  }
}

TEST(File, OpensFromDiskAndMoves) {
  const std::string path = testing::TempDir() + "/claa_file_test.gguf";
  Writer writer;
  writer.add("k", uint32_t{9});
  writer.add_tensor("t", {2}, TensorType::kF32, Data(8, std::byte{7}));
  writer.write(path);
  File first = File::open(path);
  File second = std::move(first);
  first = std::move(second);
  EXPECT_EQ(first.name(), path);
  EXPECT_THAT(first.get_uint("k"), Optional(9u));
  EXPECT_EQ(first.find_tensor("t")->data[7], std::byte{7});
  std::filesystem::remove(path);
  expect_error(ErrorCode::kNotFound, {path}, [&] { File::open(path); });
  expect_error(ErrorCode::kInvalidArgument, {"directory"}, [&] { File::open(testing::TempDir()); });
}

TEST(Writer, RefusesMistakes) {
  const auto invalid = ErrorCode::kInvalidArgument;
  Writer writer;
  writer.add("k", uint8_t{1});
  writer.add_tensor("t", {32}, TensorType::kQ8_0, Data(34));
  expect_error(invalid, {"'k' added twice"}, [&] { writer.add("k", uint8_t{1}); });
  expect_error(invalid, {"'t' added twice"}, [&] { writer.add_tensor("t", {1}, TensorType::kF32, Data(4)); });
  expect_error(invalid, {"'u'", "33 bytes", "32 elements", "Q8_0"},
               [&] { writer.add_tensor("u", {32}, TensorType::kQ8_0, Data(33)); });
  expect_error(invalid, {"alignment 12"}, [] { Writer(3, 12); });
  expect_error(ErrorCode::kIo, {"/no/such/folder/x"}, [&] { writer.write("/no/such/folder/x"); });
}

TEST(PythonFile, MetadataOfEveryType) {
  const File file = File::open(test_data("gguf/quants.gguf"));
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.keys().size(), 32u);
  EXPECT_THAT(file.get_string("general.architecture"), Optional(std::string_view("test")));
  EXPECT_THAT(file.get_string("general.name"),
              Optional(std::string_view("quant goldens: h\xc3\xa4\xc3\x9flich, \xe6\x97\xa5\xe6\x9c\xac")));
  EXPECT_THAT(file.get_uint("test.u8"), Optional(255u));
  EXPECT_THAT(file.get_float("test.i8"), Optional(-128.0));
  EXPECT_THAT(file.get_uint("test.u16"), Optional(65535u));
  EXPECT_THAT(file.get_float("test.i16"), Optional(-32768.0));
  EXPECT_THAT(file.get_uint("test.u32"), Optional(4294967295u));
  EXPECT_THAT(file.get_float("test.i32"), Optional(-2147483648.0));
  EXPECT_THAT(file.get_uint("test.u64"), Optional(18446744073709551615u));
  EXPECT_THAT(file.get_float("test.i64"), Optional(-9223372036854775808.0));
  EXPECT_THAT(file.get_float("test.f32"), Optional(static_cast<double>(0.1f)));
  EXPECT_THAT(file.get_float("test.f64"), Optional(0.1));
  EXPECT_THAT(file.get_bool("test.true"), Optional(true));
  EXPECT_THAT(file.get_bool("test.false"), Optional(false));
  EXPECT_THAT(file.get_strings("test.strings"),
              Optional(ElementsAre("", "a", "h\xc3\xa4\xc3\x9f", std::string_view("\0nul", 4))));
  EXPECT_THAT(file.get_ints("test.ints"), Optional(ElementsAre(1, -2, 3)));
  EXPECT_THAT(file.get_floats("test.floats"), Optional(ElementsAre(0.5, -1.25)));
  EXPECT_THAT(file.get_bools("test.bools"), Optional(ElementsAre(true, false, true)));
  EXPECT_THAT(file.get_ints("test.bytes"), Optional(ElementsAre(0, 128, 255)));
}

TEST(PythonFile, Tensors) {
  const File file = File::open(test_data("gguf/quants.gguf"));
  ASSERT_EQ(file.tensors().size(), 50u);
  EXPECT_EQ(file.tensors()[0].name, "Q8_0.blocks");
  EXPECT_THAT(file.find_tensor("Q4_K.blocks")->shape, ElementsAre(768, 4));
  EXPECT_EQ(file.find_tensor("Q4_K.blocks")->type, TensorType::kQ4_K);
  EXPECT_EQ(file.find_tensor("Q4_K.blocks")->data.size(), 4u * 3 * 144);
  EXPECT_EQ(file.find_tensor("F16.blocks")->type, TensorType::kF16);
}

}  // namespace
}  // namespace claa::gguf
