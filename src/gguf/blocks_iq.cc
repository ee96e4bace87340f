// Block formats whose weights come in points of a grid: four or eight neighbours by one number.
#include <array>
#include <bit>

#include "gguf/blocks.h"
#include "gguf/iq_grids.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

namespace claa::gguf {
namespace {

constexpr float kDeltaIq1 = 0.125f;

template <typename T>
T load_at(const uint8_t* from) {
  return load<T>(reinterpret_cast<const std::byte*>(from));
}

// Signs of eight weights in seven bits: the eighth makes the number of minus signs even.
uint32_t eight_signs(uint32_t seven) {
  return seven | static_cast<uint32_t>(std::popcount(seven) & 1) << 7;
}

// Writes a point times a scale; a set bit of `signs` is a minus.
template <size_t kSize>
void put_signed(const std::array<int8_t, kSize>& point, float scale, uint32_t signs, float* out) {
  for (size_t i = 0; i < kSize; ++i) {
    const float value = scale * static_cast<float>(point[i]);
    out[i] = (signs >> i & 1) != 0 ? -value : value;
  }
}

// Writes a point, moved by a delta, times a scale.
void put_moved(const std::array<int8_t, 8>& point, float scale, bool down, float* out) {
  const float delta = down ? -kDeltaIq1 : kDeltaIq1;
  for (size_t i = 0; i < 8; ++i) out[i] = scale * (static_cast<float>(point[i]) + delta);
}

uint32_t nibble(const uint8_t* bytes, int index) {
  return bytes[index / 2] >> (4 * (index % 2)) & 15u;
}

}  // namespace

// Each 32 elements: four bytes of points, then a word with seven bits of signs per point and four of scale.
void block_iq2_xxs(const uint8_t* in, float* out) {
  const float d = load_half(in);
  for (int group = 0; group < 8; ++group, out += 32) {
    const uint8_t* points = in + 2 + 8 * group;
    const auto word = load_at<uint32_t>(points + 4);
    const float scale = d * (0.5f + static_cast<float>(word >> 28)) * 0.25f;
    for (int i = 0; i < 4; ++i)
      put_signed(kGridIq2Xxs[points[i]], scale, eight_signs(word >> (7 * i) & 127), out + 8 * i);
  }
}

// 32 words of a point in nine bits and its signs in seven, then a nibble of scale for each 16 elements.
void block_iq2_xs(const uint8_t* in, float* out) {
  const float d = load_half(in);
  const uint8_t* scales = in + 66;
  for (int i = 0; i < 32; ++i) {
    const auto word = load_at<uint16_t>(in + 2 + 2 * i);
    const float scale = d * (0.5f + static_cast<float>(nibble(scales, i / 2))) * 0.25f;
    put_signed(kGridIq2Xs[word & 511u], scale, eight_signs(word >> 9), out + 8 * i);
  }
}

// 32 bytes with eight bits of each point, 32 of signs, 8 with the two high bits of four points each, 8 of
// scales.
void block_iq2_s(const uint8_t* in, float* out) {
  const float d = load_half(in);
  const uint8_t* signs = in + 34;
  const uint8_t* high = in + 66;
  const uint8_t* scales = in + 74;
  for (int i = 0; i < 32; ++i) {
    const uint32_t point = in[2 + i] | (high[i / 4] >> (2 * (i % 4)) & 3u) << 8;
    const float scale = d * (0.5f + static_cast<float>(nibble(scales, i / 2))) * 0.25f;
    put_signed(kGridIq2S[point], scale, signs[i], out + 8 * i);
  }
}

// 64 bytes of points of four, then for each 32 elements a word as in IQ2_XXS.
void block_iq3_xxs(const uint8_t* in, float* out) {
  const float d = load_half(in);
  const uint8_t* words = in + 66;
  for (int i = 0; i < 64; ++i) {
    const auto word = load_at<uint32_t>(words + 4 * (i / 8));
    const float scale = d * (0.5f + static_cast<float>(word >> 28)) * 0.5f;
    const uint32_t signs = eight_signs(word >> (7 * (i % 8 / 2)) & 127);
    put_signed(kGridIq3Xxs[in[2 + i]], scale, signs >> (4 * (i % 2)), out + 4 * i);
  }
}

// 64 bytes with eight bits of each point of four, 8 with the ninth bits, 32 of signs, 4 of scales.
void block_iq3_s(const uint8_t* in, float* out) {
  const float d = load_half(in);
  const uint8_t* high = in + 66;
  const uint8_t* signs = in + 74;
  const uint8_t* scales = in + 106;
  for (int i = 0; i < 64; ++i) {
    const uint32_t point = in[2 + i] | (high[i / 8] >> (i % 8) & 1u) << 8;
    const float scale = d * static_cast<float>(1 + 2 * nibble(scales, i / 8));
    put_signed(kGridIq3S[point], scale, signs[i / 2] >> (4 * (i % 2)), out + 4 * i);
  }
}

// 32 bytes with eight bits of each point, then for each 32 elements a word: three high bits of four points,
// three bits of scale, and the sign of the delta.
void block_iq1_s(const uint8_t* in, float* out) {
  const float d = load_half(in);
  for (int i = 0; i < 32; ++i) {
    const uint32_t word = load_at<uint16_t>(in + 34 + 2 * (i / 4));
    const float scale = d * static_cast<float>(2 * (word >> 12 & 7) + 1);
    const uint32_t point = in[2 + i] | (word >> (3 * (i % 4)) & 7) << 8;
    put_moved(kGridIq1[point], scale, (word & 0x8000) != 0, out + 8 * i);
  }
}

// 32 bytes with eight bits of each point, 16 of nibbles with three high bits and the sign of the delta, four
// words of four scales of three bits each, whose upper nibbles are the block's scale.
void block_iq1_m(const uint8_t* in, float* out) {
  uint32_t words[4];
  uint32_t d_bits = 0;
  for (int i = 0; i < 4; ++i) {
    words[i] = load_at<uint16_t>(in + 48 + 2 * i);
    d_bits |= (words[i] >> 12) << (4 * i);
  }
  const float d = half_to_float(static_cast<uint16_t>(d_bits));
  for (int i = 0; i < 32; ++i) {
    const uint32_t high = nibble(in + 32, i);
    const float scale = d * static_cast<float>(2 * (words[i / 8] >> (3 * (i / 2 % 4)) & 7) + 1);
    put_moved(kGridIq1[in[i] | (high & 7) << 8], scale, (high & 8) != 0, out + 8 * i);
  }
}

}  // namespace claa::gguf
