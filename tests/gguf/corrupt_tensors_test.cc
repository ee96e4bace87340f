// Lies in the tensor infos and about where tensors lie.
#include "lies.h"

namespace claa::gguf {
namespace {

using test::Bytes;
using test::Lie;
using test::lie_name;
using test::RawFile;
using test::set_alignment;

std::vector<Lie> name_lies() {
  return {
      {"NameEmpty",
       [](RawFile& f) { f.tensors[1].name = ""; },
       "name_length1",
       {"length of the name of tensor 1", "cannot be empty"}},
      {"NameLengthOverCap",
       [](RawFile& f) { f.tensors[1].name = std::string(257, 'x'); },
       "name_length1",
       {"length of the name of tensor 1", "257 bytes", "limit of 256"}},
      {"NameWithNewline",
       [](RawFile& f) { f.tensors[1].name[2] = '\n'; },
       "name1",
       {"name of tensor 1", "control byte 0x0a", "'se\\x0aond'"},
       2},
      {"NameTwice",
       [](RawFile& f) { f.tensors[1].name = "first"; },
       "name_length1",
       {"name of tensor 1", "'first' appears twice"}},
  };
}

std::vector<Lie> shape_lies() {
  return {
      {"NoDims",
       [](RawFile& f) { f.tensors[1].dim_count = 0; },
       "dim_count1",
       {"dimension count of 'second'", "0 dimensions", "1 to 4"}},
      {"FiveDims",
       [](RawFile& f) {
         f.tensors[1].dims = {32, 2, 1, 1, 1};
       },
       "dim_count1",
       {"5 dimensions", "1 to 4"}},
      {"DimCountHuge",
       [](RawFile& f) { f.tensors[1].dim_count = 0xffffffff; },
       "dim_count1",
       {"4294967295 dimensions", "1 to 4"}},
      {"DimZero",
       [](RawFile& f) {
         f.tensors[1].dims = {32, 0};
       },
       "dim1.1",
       {"dimension 1 of 'second'", "is 0, every dimension must be positive"}},
      {"ElementsOverflow",
       [](RawFile& f) {
         f.tensors[1].dims = {uint64_t{1} << 32, uint64_t{1} << 31};
       },
       "dim1.1",
       {"dimension 1 of 'second'", "2147483648", "exceed 2^63"}},
      {"ElementsWrapToOne",
       [](RawFile& f) {
         f.tensors[1].dims = {0xffffffffffffffff, 0xffffffffffffffff};
       },
       "dim1.0",
       {"dimension 0 of 'second'", "18446744073709551615", "exceed 2^63"}},
      {"BytesOverflow",
       [](RawFile& f) {
         f.tensors[1].dims = {uint64_t{1} << 62};
         f.tensors[1].type = 0;
       },
       "dim1.0",
       {"4611686018427387904 elements of type F32", "more than 2^64 bytes"}},
      {"PartialBlock",
       [](RawFile& f) {
         f.tensors[1].dims = {33, 2};
       },
       "dim1.0",
       {"dimension 0 of 'second'", "33 is not a multiple of 32", "Q8_0"}},
      {"PartialSuperBlock",
       [](RawFile& f) {
         f.tensors[1].dims = {128, 2};
         f.tensors[1].type = 12;
       },
       "dim1.0",
       {"128 is not a multiple of 256", "Q4_K"}},
  };
}

std::vector<Lie> type_lies() {
  const auto unsupported = ErrorCode::kUnsupported;
  return {
      {"TypeUnsupported",
       [](RawFile& f) { f.tensors[1].type = 9; },
       "tensor_type1",
       {"type of 'second'", "9 (Q8_1)", "supported types are F32, F16, BF16, Q8_0", "Q6_K", "MXFP4"},
       0,
       unsupported},
      {"TypeRemoved",
       [](RawFile& f) { f.tensors[1].type = 4; },
       "tensor_type1",
       {"4 (Q4_2)"},
       0,
       unsupported},
      {"TypeUnknown",
       [](RawFile& f) { f.tensors[1].type = 4000000000; },
       "tensor_type1",
       {"4000000000 (unknown)"},
       0,
       unsupported},
      {"OffsetUnaligned",
       [](RawFile& f) { f.tensors[1].offset = 40; },
       "offset1",
       {"offset of 'second'", "40 is not a multiple of the alignment 32"}},
      {"OffsetUnalignedBySet",
       [](RawFile& f) {
         set_alignment(f, 4, Bytes().u32(64));
         f.alignment = 64;
       },
       "offset1",
       {"32 is not a multiple of the alignment 64"}},
  };
}

std::vector<Lie> extent_lies() {
  return {
      {"OffsetPastEnd",
       [](RawFile& f) { f.tensors[1].offset = 160; },
       "offset1",
       {"offset of 'second'", "160 plus 68 bytes", "data section of 128 bytes"}},
      {"ExtentPastEnd",
       [](RawFile& f) { f.tensors[1].offset = 64; },
       "offset1",
       {"64 plus 68 bytes", "past the end"}},
      {"OffsetPlusSizeWraps",
       [](RawFile& f) { f.tensors[1].offset = ~uint64_t{31}; },
       "offset1",
       {"18446744073709551584 plus 68 bytes", "past the end"}},
      {"SizePlusOffsetWraps",
       [](RawFile& f) {
         f.tensors[1].dims = {(uint64_t{1} << 62) - 1};
         f.tensors[1].type = 0;
       },
       "offset1",
       {"32 plus 18446744073709551612 bytes", "past the end"}},
      {"ShapeLargerThanData",
       [](RawFile& f) {
         f.tensors[1].dims = {32, 1 << 20};
       },
       "offset1",
       {"32 plus 35651584 bytes", "past the end"}},
      {"Overlap",
       [](RawFile& f) { f.tensors[0].dims = {9}; },
       "offset1",
       {"offset of 'second'", "overlaps tensor 'first'", "0 to 36"}},
      {"SameExtentTwice",
       [](RawFile& f) { f.tensors[0].offset = 32; },
       "offset1",
       {"overlaps tensor 'first'"}},
      {"OverlapInReverseOrder",
       [](RawFile& f) {
         f.tensors[0].offset = 64;
         f.tensors[1].offset = 0;
       },
       "offset0",
       {"offset of 'first'", "64 overlaps tensor 'second'", "0 to 68"}},
      {"NoDataSection",
       [](RawFile& f) { f.data_bytes = 0; },
       "infos_end",
       {"data section", "only 0 are left"}},
  };
}

class CorruptTensors : public testing::TestWithParam<Lie> {};

TEST_P(CorruptTensors, IsRefusedNamingFieldAndOffset) {
  test::expect_refused(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Names, CorruptTensors, testing::ValuesIn(name_lies()), lie_name);
INSTANTIATE_TEST_SUITE_P(Shapes, CorruptTensors, testing::ValuesIn(shape_lies()), lie_name);
INSTANTIATE_TEST_SUITE_P(Types, CorruptTensors, testing::ValuesIn(type_lies()), lie_name);
INSTANTIATE_TEST_SUITE_P(Extents, CorruptTensors, testing::ValuesIn(extent_lies()), lie_name);

}  // namespace
}  // namespace claa::gguf
