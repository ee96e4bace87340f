// Dequantisation of tensors, and the block formats of 32 elements. See blocks.h for the rules of arithmetic.
#include "gguf/quants.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "core/half.h"
#include "gguf/blocks.h"
#include "gguf/byte_reader.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

namespace claa::gguf {
namespace {

// --- 32 elements per block: low nibbles are elements 0..15, high nibbles 16..31 ---

void block_q8_0(const uint8_t* in, float* out) {
  const float d = load_half(in);
  int8_t q[32];
  std::memcpy(q, in + 2, sizeof(q));
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(q[i]) * d;
}

void block_q4_0(const uint8_t* in, float* out) {
  const float d = load_half(in);
  const uint8_t* q = in + 2;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((q[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((q[i] >> 4) - 8);
  }
}

void block_q4_1(const uint8_t* in, float* out) {
  const float d = load_half(in);
  const float m = load_half(in + 2);
  const uint8_t* q = in + 4;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(q[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(q[i] >> 4) + m;
  }
}

// Five-bit numbers: four bits are the nibble, and the fifth is the element's bit in a 32-bit word.
void unpack_q5(const uint8_t* high, const uint8_t* low, int32_t* q) {
  uint32_t fifth;
  std::memcpy(&fifth, high, sizeof(fifth));
  for (int i = 0; i < 16; ++i) {
    q[i] = static_cast<int32_t>((low[i] & 15u) | ((fifth >> i) & 1u) << 4);
    q[i + 16] = static_cast<int32_t>((low[i] >> 4) | ((fifth >> (i + 16)) & 1u) << 4);
  }
}

void block_q5_0(const uint8_t* in, float* out) {
  const float d = load_half(in);
  int32_t q[32];
  unpack_q5(in + 2, in + 6, q);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(q[i] - 16);
}

void block_q5_1(const uint8_t* in, float* out) {
  const float d = load_half(in);
  const float m = load_half(in + 2);
  int32_t q[32];
  unpack_q5(in + 4, in + 8, q);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(q[i]) + m;
}

template <void (*Block)(const uint8_t*, float*), int kElements, int kBytes>
void each_block(const std::byte* in, std::span<float> out) {
  const auto* from = reinterpret_cast<const uint8_t*>(in);
  float* to = out.data();
  for (size_t i = 0; i < out.size() / kElements; ++i) Block(from + i * kBytes, to + i * kElements);
}

template <float (*Widen)(uint16_t)>
void each_element(const std::byte* in, std::span<float> out) {
  float* to = out.data();
  const size_t size = out.size();
  for (size_t i = 0; i < size; ++i) to[i] = Widen(load<uint16_t>(in + 2 * i));
}

// One sign, four exponent bits of bias 7 and three fraction bits; no infinity, and all ones is no number.
float fp8_to_float(uint8_t bits) {
  const int exponent = bits >> 3 & 15;
  const auto fraction = static_cast<float>(bits & 7);
  float value = fraction * 0x1p-9f;
  if (exponent > 0) {
    value = (8 + fraction) / 8 * std::bit_cast<float>(static_cast<uint32_t>(exponent - 7 + 127) << 23);
  }
  if ((bits & 127) == 127) value = std::numeric_limits<float>::quiet_NaN();
  return (bits & 128) != 0 ? -value : value;
}

void each_fp8(const std::byte* in, std::span<float> out) {
  static const std::array<float, 256> kValues = [] {
    std::array<float, 256> values{};
    for (size_t i = 0; i < values.size(); ++i) values[i] = fp8_to_float(static_cast<uint8_t>(i));
    return values;
  }();
  for (size_t i = 0; i < out.size(); ++i) out[i] = kValues[std::to_integer<uint8_t>(in[i])];
}

struct Decoder {
  TensorType type;
  void (*decode)(const std::byte* in, std::span<float> out);
};

// Every type but F32.
constexpr std::array kDecoders{
    Decoder{TensorType::kF8E4M3, each_fp8},
    Decoder{TensorType::kF16, each_element<half_to_float>},
    Decoder{TensorType::kBF16, each_element<bf16_to_float>},
    Decoder{TensorType::kQ8_0, each_block<block_q8_0, 32, 34>},
    Decoder{TensorType::kQ4_0, each_block<block_q4_0, 32, 18>},
    Decoder{TensorType::kQ4_1, each_block<block_q4_1, 32, 20>},
    Decoder{TensorType::kQ5_0, each_block<block_q5_0, 32, 22>},
    Decoder{TensorType::kQ5_1, each_block<block_q5_1, 32, 24>},
    Decoder{TensorType::kQ2_K, each_block<block_q2_k, 256, 84>},
    Decoder{TensorType::kQ3_K, each_block<block_q3_k, 256, 110>},
    Decoder{TensorType::kQ4_K, each_block<block_q4_k, 256, 144>},
    Decoder{TensorType::kQ5_K, each_block<block_q5_k, 256, 176>},
    Decoder{TensorType::kQ6_K, each_block<block_q6_k, 256, 210>},
    Decoder{TensorType::kIQ1_S, each_block<block_iq1_s, 256, 50>},
    Decoder{TensorType::kIQ1_M, each_block<block_iq1_m, 256, 56>},
    Decoder{TensorType::kIQ2_XXS, each_block<block_iq2_xxs, 256, 66>},
    Decoder{TensorType::kIQ2_XS, each_block<block_iq2_xs, 256, 74>},
    Decoder{TensorType::kIQ2_S, each_block<block_iq2_s, 256, 82>},
    Decoder{TensorType::kIQ3_XXS, each_block<block_iq3_xxs, 256, 98>},
    Decoder{TensorType::kIQ3_S, each_block<block_iq3_s, 256, 110>},
    Decoder{TensorType::kIQ4_NL, each_block<block_iq4_nl, 32, 18>},
    Decoder{TensorType::kIQ4_XS, each_block<block_iq4_xs, 256, 136>},
    Decoder{TensorType::kMXFP4, each_block<block_mxfp4, 32, 17>},
    Decoder{TensorType::kNVFP4, each_block<block_nvfp4, 64, 36>},
    Decoder{TensorType::kTQ1_0, each_block<block_tq1_0, 256, 54>},
    Decoder{TensorType::kTQ2_0, each_block<block_tq2_0, 256, 66>},
};

}  // namespace

void dequantize(TensorType type, std::span<const std::byte> blocks, std::span<float> out) {
  require(out.size() % block_elements(type) == 0, "dequantize: output is no whole number of blocks");
  require(blocks.size() == out.size() / block_elements(type) * block_bytes(type),
          "dequantize: sizes disagree");
  if (out.empty()) return;
  if (type == TensorType::kF32) {
    std::memcpy(out.data(), blocks.data(), blocks.size());
    return;
  }
  const auto* const decoder = std::find_if(kDecoders.begin(), kDecoders.end(),
                                           [type](const Decoder& each) { return each.type == type; });
  require(decoder != kDecoders.end(), "a tensor type without a decoder");
  decoder->decode(blocks.data(), out);
}

void dequantize_rows(const TensorInfo& tensor, uint64_t first, std::span<float> out) {
  const size_t columns = tensor.shape[0];
  require(out.size() % columns == 0, "dequantize_rows: output is no whole number of rows");
  const size_t rows = out.size() / columns;
  // As many rows at once as lie together.
  const uint64_t together = tensor.slices.empty() ? rows : tensor.shape[1];
  for (uint64_t row = first; row < first + rows;) {
    const uint64_t count =
        tensor.slices.empty() ? rows : std::min(together - row % together, first + rows - row);
    dequantize(tensor.type, tensor.rows(row, count), out.subspan((row - first) * columns, count * columns));
    row += count;
  }
  if (tensor.scales == nullptr) return;
  const TensorScales& scales = *tensor.scales;
  for (size_t row = 0; row < rows; ++row) {
    const float* of_row = scales.values.data() + (first + row) / scales.tile_rows * scales.tiles_per_row;
    float* const to = out.data() + row * columns;
    for (size_t i = 0; i < columns; ++i) to[i] *= of_row[i / scales.tile_columns];
  }
}

}  // namespace claa::gguf
