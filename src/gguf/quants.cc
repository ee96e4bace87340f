// Dequantisation, written from the layout of each block format. The f32 operations and their order are part
// of the format's practice (d * q, then + m or - m, each rounded), so no multiply may be fused into an add:
// the compiler must not contract, which ISO mode of GCC guarantees and clang is told below.
#include "gguf/quants.h"

#include <cstring>

#include "core/check.h"
#include "core/half.h"
#include "gguf/byte_reader.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

namespace claa::gguf {
namespace {

float load_half(const uint8_t* from) {
  return half_to_float(load<uint16_t>(reinterpret_cast<const std::byte*>(from)));
}

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

// --- 256 elements per block: a block scale times small integer scales of 16 or 32 elements ---

// Two-bit planes: in each half, bits 2p and 2p+1 of 32 bytes are elements 32p..32p+31. 16 scale bytes: low
// nibble the scale, high nibble the minimum, of 16 elements each.
void block_q2_k(const uint8_t* in, float* out) {
  const uint8_t* scales = in;
  const uint8_t* planes = in + 16;
  const float d = load_half(in + 80);
  const float dmin = load_half(in + 82);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(scales[group] & 15);
    const float minimum = dmin * static_cast<float>(scales[group] >> 4);
    const uint8_t* q = planes + 32 * (group / 8) + 16 * (group % 2);
    const int shift = 2 * (group % 8 / 2);
    for (int i = 0; i < 16; ++i)
      out[16 * group + i] = scale * static_cast<float>((q[i] >> shift) & 3) - minimum;
  }
}

// As Q2_K, plus a third bit: bit p of 32 mask bytes for elements 32p..32p+31, counted over the whole block,
// where a cleared bit takes 4 away. Scales have six bits: the low four in 8 bytes of nibbles, the high two in
// 4 bytes of pairs.
void block_q3_k(const uint8_t* in, float* out) {
  const uint8_t* mask = in;
  const uint8_t* planes = in + 32;
  const uint8_t* scales = in + 96;
  const float d = load_half(in + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = (scales[group % 8] >> (4 * (group / 8))) & 15;
    const int high = (scales[8 + group % 4] >> (2 * (group / 4))) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const uint8_t* q = planes + 32 * (group / 8) + 16 * (group % 2);
    const uint8_t* third = mask + 16 * (group % 2);
    const int shift = 2 * (group % 8 / 2);
    const int bit = group / 2;
    for (int i = 0; i < 16; ++i) {
      const int value = ((q[i] >> shift) & 3) + 4 * ((third[i] >> bit) & 1) - 4;
      out[16 * group + i] = scale * static_cast<float>(value);
    }
  }
}

// The eight six-bit scales and minima of Q4_K and Q5_K in 12 bytes: the first four of each are the low six
// bits of bytes 0..3 and 4..7; the last four have their low nibbles in bytes 8..11 and their high bits on top
// of bytes 0..7.
void unpack_scales(const uint8_t* packed, uint8_t* scales, uint8_t* minima) {
  for (int i = 0; i < 4; ++i) {
    scales[i] = packed[i] & 63;
    minima[i] = packed[4 + i] & 63;
    scales[4 + i] = static_cast<uint8_t>((packed[8 + i] & 15) | (packed[i] >> 6) << 4);
    minima[4 + i] = static_cast<uint8_t>((packed[8 + i] >> 4) | (packed[4 + i] >> 6) << 4);
  }
}

// 32 bytes hold 64 elements: 32 low nibbles, then 32 high ones.
void block_q4_k(const uint8_t* in, float* out) {
  const float d = load_half(in);
  const float dmin = load_half(in + 2);
  uint8_t scales[8];
  uint8_t minima[8];
  unpack_scales(in + 4, scales, minima);
  for (int group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(scales[group]);
    const float minimum = dmin * static_cast<float>(minima[group]);
    const uint8_t* q = in + 16 + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int i = 0; i < 32; ++i)
      out[32 * group + i] = scale * static_cast<float>((q[i] >> shift) & 15) - minimum;
  }
}

// As Q4_K, plus a fifth bit: bit p of 32 bytes for elements 32p..32p+31.
void block_q5_k(const uint8_t* in, float* out) {
  const float d = load_half(in);
  const float dmin = load_half(in + 2);
  uint8_t scales[8];
  uint8_t minima[8];
  unpack_scales(in + 4, scales, minima);
  const uint8_t* fifth = in + 16;
  for (int group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(scales[group]);
    const float minimum = dmin * static_cast<float>(minima[group]);
    const uint8_t* q = in + 48 + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int i = 0; i < 32; ++i) {
      const int value = ((q[i] >> shift) & 15) | ((fifth[i] >> group) & 1) << 4;
      out[32 * group + i] = scale * static_cast<float>(value) - minimum;
    }
  }
}

// In each half: 64 bytes hold 128 nibbles (64 low, then 64 high), 32 bytes the two high bits (plane p for
// elements 32p..32p+31). 16 signed scales.
void block_q6_k(const uint8_t* in, float* out) {
  const uint8_t* nibbles = in;
  const uint8_t* high = in + 128;
  int8_t scales[16];
  std::memcpy(scales, in + 192, sizeof(scales));
  const float d = load_half(in + 208);
  for (int group = 0; group < 16; ++group) {
    const int half = group / 8;
    const int plane = group % 8 / 2;
    const float scale = d * static_cast<float>(scales[group]);
    const uint8_t* q = nibbles + 64 * half + 32 * (plane % 2) + 16 * (group % 2);
    const uint8_t* top = high + 32 * half + 16 * (group % 2);
    const int shift = 4 * (plane / 2);
    for (int i = 0; i < 16; ++i) {
      const int value = (((q[i] >> shift) & 15) | ((top[i] >> (2 * plane)) & 3) << 4) - 32;
      out[16 * group + i] = scale * static_cast<float>(value);
    }
  }
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

}  // namespace

void dequantize(TensorType type, std::span<const std::byte> blocks, std::span<float> out) {
  require(out.size() % block_elements(type) == 0, "dequantize: output is no whole number of blocks");
  require(blocks.size() == out.size() / block_elements(type) * block_bytes(type),
          "dequantize: sizes disagree");
  if (out.empty()) return;
  const std::byte* in = blocks.data();
  switch (type) {
    case TensorType::kF32:
      std::memcpy(out.data(), in, blocks.size());
      return;
    case TensorType::kF16:
      return each_element<half_to_float>(in, out);
    case TensorType::kBF16:
      return each_element<bf16_to_float>(in, out);
    case TensorType::kQ8_0:
      return each_block<block_q8_0, 32, 34>(in, out);
    case TensorType::kQ4_0:
      return each_block<block_q4_0, 32, 18>(in, out);
    case TensorType::kQ4_1:
      return each_block<block_q4_1, 32, 20>(in, out);
    case TensorType::kQ5_0:
      return each_block<block_q5_0, 32, 22>(in, out);
    case TensorType::kQ5_1:
      return each_block<block_q5_1, 32, 24>(in, out);
    case TensorType::kQ2_K:
      return each_block<block_q2_k, 256, 84>(in, out);
    case TensorType::kQ3_K:
      return each_block<block_q3_k, 256, 110>(in, out);
    case TensorType::kQ4_K:
      return each_block<block_q4_k, 256, 144>(in, out);
    case TensorType::kQ5_K:
      return each_block<block_q5_k, 256, 176>(in, out);
    case TensorType::kQ6_K:
      return each_block<block_q6_k, 256, 210>(in, out);
  }
}

}  // namespace claa::gguf
