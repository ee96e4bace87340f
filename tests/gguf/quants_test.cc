#include "gguf/quants.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "claa/error.h"
#include "core/half.h"
#include "gguf/file.h"
#include "paths.h"

namespace claa::gguf {
namespace {

uint32_t bits(float value) {
  return std::bit_cast<uint32_t>(value);
}

// The blocks and the values that the gguf Python package gives them: see tools/make_quant_goldens.py.
class Golden : public testing::TestWithParam<TensorType> {};

TEST_P(Golden, DequantisesToTheSameBits) {
  const File file = File::open(test_data("gguf/quants.gguf"));
  const std::string name(type_name(GetParam()));
  const TensorInfo* blocks = file.find_tensor(name + ".blocks");
  const TensorInfo* expected = file.find_tensor(name + ".values");
  ASSERT_NE(blocks, nullptr);
  ASSERT_NE(expected, nullptr);
  ASSERT_EQ(blocks->type, GetParam());
  ASSERT_EQ(blocks->elements(), expected->elements());
  ASSERT_GE(blocks->elements(), 512u);
  std::vector<float> values(blocks->elements(), -1.0f);
  dequantize(blocks->type, blocks->data, values);
  for (size_t i = 0; i < values.size(); ++i) {
    float want;
    std::memcpy(&want, expected->data.data() + 4 * i, sizeof(want));
    ASSERT_EQ(bits(values[i]), bits(want))
        << name << " element " << i << ": " << values[i] << " instead of " << want;
  }
}

std::vector<TensorType> types_with_goldens() {
  std::vector<TensorType> types;
  for (const TensorType type : all_types()) {
    if (type != TensorType::kF32) types.push_back(type);
  }
  return types;
}

INSTANTIATE_TEST_SUITE_P(All, Golden, testing::ValuesIn(types_with_goldens()),
                         [](const auto& info) { return std::string(type_name(info.param)); });

// By the polynomial of zlib.
uint32_t crc32_of(std::span<const std::byte> bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
  }
  return ~crc;
}

// A format with a table of values, and the byte of a block with the upper bits of a scale's exponent, of
// which one is cleared so that the scale is finite.
struct TableFormat {
  TensorType type;
  std::optional<size_t> exponent;
};

class Tables : public testing::TestWithParam<TableFormat> {};

// 512 blocks, which use every entry, have the values that the gguf Python package gives them.
TEST_P(Tables, EveryEntryIsRight) {
  const auto [type, exponent] = GetParam();
  const File file = File::open(test_data("gguf/quants.gguf"));
  const size_t size = block_bytes(type);
  std::vector<std::byte> blocks(512 * size);
  auto state = static_cast<uint32_t>(type);
  for (std::byte& byte : blocks) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  for (size_t at = exponent.value_or(blocks.size()); at < blocks.size(); at += size)
    blocks[at] &= std::byte{0xBF};
  std::vector<float> values(512 * block_elements(type));
  dequantize(type, blocks, values);
  EXPECT_EQ(crc32_of(std::as_bytes(std::span(values))),
            file.get_uint("test.crc." + std::string(type_name(type))).value());
}

INSTANTIATE_TEST_SUITE_P(
    All, Tables,
    testing::Values(TableFormat{TensorType::kIQ1_S, 1}, TableFormat{TensorType::kIQ1_M, 55},
                    TableFormat{TensorType::kIQ2_XXS, 1}, TableFormat{TensorType::kIQ2_XS, 1},
                    TableFormat{TensorType::kIQ2_S, 1}, TableFormat{TensorType::kIQ3_XXS, 1},
                    TableFormat{TensorType::kIQ3_S, 1}, TableFormat{TensorType::kIQ4_NL, 1},
                    TableFormat{TensorType::kIQ4_XS, 1}, TableFormat{TensorType::kMXFP4, {}},
                    TableFormat{TensorType::kNVFP4, {}}, TableFormat{TensorType::kTQ1_0, 53},
                    TableFormat{TensorType::kTQ2_0, 65}),
    [](const auto& info) { return std::string(type_name(info.param.type)); });

// From the definition of binary16: sign, five exponent bits of bias 15, ten fraction bits.
double half_by_definition(uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const int fraction = half & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 15 - 10);
  return half & 0x8000 ? -magnitude : magnitude;
}

TEST(Half, EveryValueIsExact) {
  for (uint32_t half = 0; half < 65536; ++half) {
    const float value = half_to_float(static_cast<uint16_t>(half));
    if ((half & 0x7c00) == 0x7c00) {
      EXPECT_EQ(std::isnan(value), (half & 0x3ff) != 0) << half;
      EXPECT_EQ(std::isinf(value), (half & 0x3ff) == 0) << half;
    } else {
      ASSERT_EQ(value, half_by_definition(static_cast<uint16_t>(half))) << half;
    }
    ASSERT_EQ(std::signbit(value), (half & 0x8000) != 0) << half;
  }
}

TEST(Half, BrainFloatIsTheUpperHalf) {
  EXPECT_EQ(bf16_to_float(0x3f80), 1.0f);
  EXPECT_EQ(bits(bf16_to_float(0x8000)), 0x80000000u);
  EXPECT_EQ(bf16_to_float(0x0001), std::ldexp(1.0f, -133));
  EXPECT_EQ(bf16_to_float(0xff80), -std::numeric_limits<float>::infinity());
}

TEST(Fp8, EveryValueIsExact) {
  for (int bits = 0; bits < 256; ++bits) {
    const std::byte byte{static_cast<uint8_t>(bits)};
    float value = -1;
    dequantize(TensorType::kF8E4M3, std::span(&byte, 1), std::span(&value, 1));
    const int exponent = bits >> 3 & 15, fraction = bits & 7;
    const double size = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
    if ((bits & 127) == 127) {
      EXPECT_TRUE(std::isnan(value)) << bits;
    } else {
      EXPECT_EQ(value, (bits & 128) != 0 ? -size : size) << bits;
      EXPECT_EQ(std::signbit(value), (bits & 128) != 0) << bits;
    }
  }
  EXPECT_FALSE(is_supported(static_cast<uint32_t>(TensorType::kF8E4M3))) << "no GGUF file has it";
}

TEST(Dequantize, FloatsAreCopied) {
  const float in[] = {1.5f, -0.0f, 3e-45f};
  float out[3] = {};
  dequantize(TensorType::kF32, std::as_bytes(std::span(in)), out);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bits(out[i]), bits(in[i]));
}

TEST(Dequantize, WorksFromUnalignedBytes) {
  // d = 1.0 (0x3c00), numbers 0..31, one byte off any alignment.
  std::vector<std::byte> bytes{std::byte{0}, std::byte{0x00}, std::byte{0x3c}};
  for (int i = 0; i < 32; ++i) bytes.push_back(std::byte(i));
  float out[32] = {};
  dequantize(TensorType::kQ8_0, std::span(bytes).subspan(1), out);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], static_cast<float>(i));
}

TEST(Dequantize, RefusesSizesThatDisagree) {
  std::vector<std::byte> blocks(36);
  std::vector<float> out(64);
  EXPECT_NO_THROW(dequantize(TensorType::kQ4_0, blocks, out));
  EXPECT_NO_THROW(dequantize(TensorType::kQ4_0, {}, {}));
  const auto refused = [&](size_t bytes, size_t floats) {
    try {
      dequantize(TensorType::kQ4_0, std::span(blocks).first(bytes), std::span(out).first(floats));
      return false;
    } catch (const Error& error) {
      return error.code() == ErrorCode::kInternal;
    }
  };
  EXPECT_TRUE(refused(36, 32));
  EXPECT_TRUE(refused(18, 64));
  EXPECT_TRUE(refused(18, 31));
  EXPECT_TRUE(refused(0, 32));
}

TEST(Types, TableAgreesWithTheFormat) {
  EXPECT_EQ(all_types().size(), 26u);
  for (const TensorType type : all_types()) {
    EXPECT_TRUE(is_supported(static_cast<uint32_t>(type)));
    EXPECT_EQ(raw_type_name(static_cast<uint32_t>(type)), type_name(type));
  }
  EXPECT_EQ(type_name(TensorType::kQ4_1), "Q4_1");
  EXPECT_EQ(block_elements(TensorType::kQ4_1), 32u);
  EXPECT_EQ(block_bytes(TensorType::kQ4_1), 20u);
  EXPECT_EQ(block_elements(TensorType::kQ6_K), 256u);
  EXPECT_EQ(block_bytes(TensorType::kQ6_K), 210u);
  EXPECT_EQ(block_elements(TensorType::kNVFP4), 64u);
  EXPECT_EQ(block_bytes(TensorType::kNVFP4), 36u);
  EXPECT_FALSE(is_supported(9));
  EXPECT_EQ(raw_type_name(9), "Q8_1");
  EXPECT_FALSE(is_supported(12345));
  EXPECT_EQ(raw_type_name(12345), "unknown");
}

}  // namespace
}  // namespace claa::gguf
