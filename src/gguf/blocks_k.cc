// Block formats of 256 elements: a block scale times small integer scales of 16 or 32 elements.
#include "gguf/blocks.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

namespace claa::gguf {

namespace {

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

}  // namespace

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

}  // namespace claa::gguf
