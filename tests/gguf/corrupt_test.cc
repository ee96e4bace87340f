// Lies in the header and in the metadata.
#include "lies.h"

namespace claa::gguf {
namespace {

using test::Bytes;
using test::Lie;
using test::lie_name;
using test::RawFile;
using test::set_alignment;
using test::set_value;

std::vector<Lie> header_lies() {
  const auto unsupported = ErrorCode::kUnsupported;
  return {
      {"Magic", [](RawFile& f) { f.magic = "GGUX"; }, "magic", {"magic", "'GGUX'", "must be 'GGUF'"}},
      {"MagicOfControlBytes", [](RawFile& f) { f.magic = "\x1b[2J"; }, "magic", {"'\\x1b[2J'"}},
      {"MagicOfOldFormat", [](RawFile& f) { f.magic = "tjgg"; }, "magic", {"older GGML format"}},
      {"GitLfsPointer", [](RawFile& f) { f.magic = "vers"; }, "magic", {"Git LFS pointer"}},
      {"Version0", [](RawFile& f) { f.version = 0; }, "version", {"version 0", "2 and 3"}, 0, unsupported},
      {"Version1", [](RawFile& f) { f.version = 1; }, "version", {"version 1", "2 and 3"}, 0, unsupported},
      {"Version4", [](RawFile& f) { f.version = 4; }, "version", {"version 4", "2 and 3"}, 0, unsupported},
      {"BigEndian",
       [](RawFile& f) { f.version = 0x03000000; },
       "version",
       {"big endian", "version 3"},
       0,
       unsupported},
      {"TensorCountOverCap",
       [](RawFile& f) { f.tensor_count = 65537; },
       "tensor_count",
       {"tensor count", "65537", "limit of 65536"}},
      {"TensorCountHuge",
       [](RawFile& f) { f.tensor_count = ~uint64_t{0}; },
       "tensor_count",
       {"18446744073709551615", "limit of 65536"}},
      {"TensorCountOverFile",
       [](RawFile& f) { f.tensor_count = 65536; },
       "tensor_count",
       {"65536 tensors", "hold at most"}},
      {"PairCountOverCap",
       [](RawFile& f) { f.pair_count = 65537; },
       "pair_count",
       {"metadata count", "65537", "limit of 65536"}},
      {"PairCountOverFile",
       [](RawFile& f) { f.pair_count = 60000; },
       "pair_count",
       {"60000 pairs", "hold at most"}},
  };
}

std::vector<Lie> key_lies() {
  return {
      {"KeyEmpty",
       [](RawFile& f) { f.pairs[1].key = ""; },
       "key_length1",
       {"length of key 1", "cannot be empty"}},
      {"KeyLengthOverCap",
       [](RawFile& f) { f.pairs[1].key_length = 65536; },
       "key_length1",
       {"length of key 1", "65536 bytes", "limit of 65535"}},
      {"KeyLengthHuge",
       [](RawFile& f) { f.pairs[1].key_length = ~uint64_t{0} - 3; },
       "key_length1",
       {"18446744073709551612 bytes", "limit of 65535"}},
      {"KeyLengthOverFile",
       [](RawFile& f) { f.pairs[1].key_length = 2000; },
       "key_length1",
       {"2000 bytes", "are left in the file"}},
      {"KeyWithNul",
       [](RawFile& f) { f.pairs[1].key[3] = '\0'; },
       "key1",
       {"key 1", "0x00", "printable ASCII"},
       3},
      {"KeyNotAscii", [](RawFile& f) { f.pairs[1].key[5] = '\xe9'; }, "key1", {"0xe9", "printable ASCII"}, 5},
      {"KeyTwice",
       [](RawFile& f) { f.pairs[1] = f.pairs[0]; },
       "key_length1",
       {"key 1", "'general.architecture' appears twice"}},
  };
}

std::vector<Lie> value_lies() {
  return {
      {"ValueTypeUnknown",
       [](RawFile& f) { f.pairs[1].type = 13; },
       "value_type1",
       {"value type of 'llama.block_count'", "unknown type 13"}},
      {"ValueTypeHuge",
       [](RawFile& f) { f.pairs[1].type = 0xffffffff; },
       "value_type1",
       {"unknown type 4294967295"}},
      {"StringLengthOverCap",
       [](RawFile& f) { set_value(f, 8, Bytes().u64((64 << 20) + 1)); },
       "value1",
       {"string length of 'llama.block_count'", "67108865 bytes", "limit of 67108864"}},
      {"StringLengthOverFile",
       [](RawFile& f) { set_value(f, 8, Bytes().u64(5000).raw("short")); },
       "value1",
       {"5000 bytes", "are left in the file"}},
      {"StringLengthOverFileByOne",
       [](RawFile& f) {
         set_value(f, 8, Bytes().u64(6).raw("short"));
         f.tensors.clear();
         f.data_bytes = 0;
       },
       "value1",
       {"6 bytes, but only 5 are left in the file"}},
      {"BoolOfTwo",
       [](RawFile& f) { set_value(f, 7, Bytes().u8(2)); },
       "value1",
       {"value of 'llama.block_count'", "a bool of value 2"}},
      {"AlignmentType",
       [](RawFile& f) { set_alignment(f, 10, Bytes().u64(32)); },
       "value1",
       {"value of 'general.alignment'", "has type u64", "u32 is needed"}},
      {"AlignmentZero",
       [](RawFile& f) { set_alignment(f, 4, Bytes().u32(0)); },
       "value1",
       {"value of 'general.alignment'", "0 is not a power of two"}},
      {"AlignmentOdd",
       [](RawFile& f) { set_alignment(f, 4, Bytes().u32(48)); },
       "value1",
       {"48 is not a power of two"}},
      {"AlignmentSmall",
       [](RawFile& f) { set_alignment(f, 4, Bytes().u32(4)); },
       "value1",
       {"4 is not", "from 8"}},
      {"AlignmentHuge",
       [](RawFile& f) { set_alignment(f, 4, Bytes().u32(1u << 31)); },
       "value1",
       {"2147483648 is not", "to 65536"}},
  };
}

Bytes nested_arrays(int depth) {
  Bytes value;
  for (int i = 1; i < depth; ++i) value.array(9, 1);
  return value.array(4, 1).u32(5);
}

std::vector<Lie> array_lies() {
  return {
      {"ItemTypeUnknown",
       [](RawFile& f) { set_value(f, 9, Bytes().array(77, 1)); },
       "value1",
       {"item type of 'llama.block_count'", "unknown type 77"}},
      {"ItemCountOverCap",
       [](RawFile& f) { set_value(f, 9, Bytes().array(0, (1 << 24) + 1)); },
       "value1",
       {"item count of 'llama.block_count'", "16777217 items", "limit of 16777216"},
       4},
      {"ItemCountWraps",
       [](RawFile& f) { set_value(f, 9, Bytes().array(10, uint64_t{1} << 61)); },
       "value1",
       {"item count of 'llama.block_count'", "2305843009213693952 items"},
       4},
      {"ItemCountOverFile",
       [](RawFile& f) { set_value(f, 9, Bytes().array(5, 1000)); },
       "value1",
       {"1000 items of type i32", "hold at most"},
       4},
      {"StringItemCountOverFile",
       [](RawFile& f) { set_value(f, 9, Bytes().array(8, 1000)); },
       "value1",
       {"1000 items of type string", "hold at most"},
       4},
      {"StringItemOverFile",
       [](RawFile& f) { set_value(f, 9, Bytes().array(8, 2).text("good").u64(9999)); },
       "value1",
       {"length of item 1 of 'llama.block_count'", "9999 bytes"},
       4 + 8 + 8 + 4},
      {"BoolItemOfThree",
       [](RawFile& f) { set_value(f, 9, Bytes().array(7, 3).u8(0).u8(1).u8(3)); },
       "value1",
       {"item 2 of 'llama.block_count'", "a bool of value 3"},
       4 + 8 + 2},
      {"ArraysTooDeep",
       [](RawFile& f) { set_value(f, 9, nested_arrays(5)); },
       "value1",
       {"array of 'llama.block_count'", "nested deeper than the limit of 4"},
       4 * 12},
      {"NestedCountOverFile",
       [](RawFile& f) { set_value(f, 9, Bytes().array(9, 1).array(4, 5000)); },
       "value1",
       {"item count of 'llama.block_count'", "5000 items of type u32"},
       12 + 4},
  };
}

class Corrupt : public testing::TestWithParam<Lie> {};

TEST_P(Corrupt, IsRefusedNamingFieldAndOffset) {
  test::expect_refused(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Header, Corrupt, testing::ValuesIn(header_lies()), lie_name);
INSTANTIATE_TEST_SUITE_P(Keys, Corrupt, testing::ValuesIn(key_lies()), lie_name);
INSTANTIATE_TEST_SUITE_P(Values, Corrupt, testing::ValuesIn(value_lies()), lie_name);
INSTANTIATE_TEST_SUITE_P(Arrays, Corrupt, testing::ValuesIn(array_lies()), lie_name);

// Without this the table above would prove nothing.
TEST(CorruptBase, TheUnchangedFileIsAccepted) {
  const auto bytes = RawFile().build();
  const File file = File::parse(bytes, "truth.gguf");
  EXPECT_EQ(file.get_string("general.architecture"), "llama");
  EXPECT_EQ(file.get_uint("llama.block_count"), 7u);
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.find_tensor("second")->data.size(), 68u);
}

TEST(CorruptBase, EmptyFile) {
  try {
    File::parse({}, "empty.gguf");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
    EXPECT_STREQ(error.what(), "'empty.gguf': magic at byte 0: the file is empty");
  }
}

TEST(CorruptBase, LimitsThemselvesAreAllowed) {
  RawFile file;
  file.pairs.push_back({.key = std::string(65535, 'k'), .type = 0, .value = Bytes().u8(1)});
  file.pairs.push_back({.key = "nested", .type = 9, .value = nested_arrays(4)});
  file.pairs.push_back({.key = "general.alignment", .type = 4, .value = Bytes().u32(8)});
  file.alignment = 8;
  file.tensors[1].name = std::string(256, 'n');
  file.tensors[1].dims = {32, 1, 1, 2};
  const auto bytes = file.build();
  const File parsed = File::parse(bytes, "limits.gguf");
  EXPECT_EQ(parsed.get_uint(std::string(65535, 'k')), 1u);
  EXPECT_EQ(parsed.alignment(), 8u);
  EXPECT_EQ(parsed.find_tensor(std::string(256, 'n'))->shape.size(), 4u);
}

}  // namespace
}  // namespace claa::gguf
