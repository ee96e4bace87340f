// The layout of each block format in planes (blocks.h), but for those of grids (block_grids.cuh). A format
// says how many values a block has and how many bytes of each plane, where the file has those bytes, and how
// 16 neighbouring values are read: as bytes from 0 to 255, a scale and a minimum, a value being scale * (byte
// - kZero) - minimum with each step rounded to f32, as in gguf/quants.cc.
#pragma once

#include <cuda_fp16.h>

#include "backend/cuda/blocks.h"
#include "backend/cuda/device.cuh"

namespace claa::cuda {

constexpr int kUnit = 16;  // values that are read at once

struct Unit {
  uint32_t words[4];
  float scale, minimum;
};

// Planes of a part as a kernel reads them, and the grid of its format.
struct Planes {
  const uint8_t *numbers, *bits, *scales, *grid;
};
inline Planes planes_of(const BlockPart& part) {
  return {part.numbers, part.bits, part.scales, part.grid};
}

// Bytes of a block in the file that lie in one plane.
enum class Plane { kNumbers, kBits, kScales };
struct Segment {
  int from, bytes;
  Plane plane;
  int to;
};

// kPaired: units 2n and 2n + 1 have one scale.
template <int kBlockValues, int kNumberBytes, int kBitBytes, int kScaleBytes, int kZeroByte, bool kHasMinima,
          bool kHasPairs = true>
struct Layout {
  static constexpr int kValues = kBlockValues, kUnits = kBlockValues / kUnit;
  static constexpr int kNumbers = kNumberBytes, kBits = kBitBytes, kScales = kScaleBytes;
  static constexpr int kBytes = kNumberBytes + kBitBytes + kScaleBytes;
  static constexpr int kZero = kZeroByte;
  static constexpr bool kMinima = kHasMinima, kPaired = kHasPairs;
};

__device__ inline float half_at(const uint8_t* p) {
  return __half2float(*reinterpret_cast<const __half*>(p));
}
__device__ inline float2 halves_at(const uint8_t* p) {
  return __half22float2(*reinterpret_cast<const __half2*>(p));
}
__device__ inline uint32_t short_at(const uint8_t* p) {
  return *reinterpret_cast<const uint16_t*>(p);
}
__device__ inline uint32_t word_at(const uint8_t* p) {
  return *reinterpret_cast<const uint32_t*>(p);
}
__device__ inline float2 halves_of(uint32_t word) {
  return __half22float2(*reinterpret_cast<const __half2*>(&word));
}

// 16 bytes, of which each gives `mask` bits from bit `shift` on.
__device__ inline void numbers_at(const uint8_t* p, unsigned shift, uint32_t mask, Unit& unit) {
  const uint4 raw = load_once(reinterpret_cast<const uint4*>(p));
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) unit.words[i] = (words[i] >> shift) & mask;
}
__device__ inline void nibbles_at(const uint8_t* p, unsigned shift, Unit& unit) {
  numbers_at(p, shift, 0x0f0f0f0fu, unit);
}
// Adds `mask` bits of 16 bytes, from bit `shift` on, at bit `to` of each number.
__device__ inline void add_bits(const uint8_t* p, unsigned shift, uint32_t mask, int to, Unit& unit) {
  const uint4 raw = *reinterpret_cast<const uint4*>(p);
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) unit.words[i] |= ((words[i] >> shift) & mask) << to;
}
// Adds 16 for each of the lowest 16 bits that is set.
__device__ inline void add_fifth_bits(uint32_t bits, Unit& unit) {
#pragma unroll
  for (int i = 0; i < 4; ++i) unit.words[i] |= (((bits >> (4 * i)) & 15u) * 0x00204081u & 0x01010101u) << 4;
}
// The bytes of a table of 16 for four numbers from 0 to 15.
__device__ inline uint32_t look_up(const uint32_t (&table)[4], uint32_t numbers) {
  uint32_t selector = (numbers | numbers >> 4) & 0x00ff00ffu;
  selector = (selector | selector >> 8) & 0xffffu;
  const uint32_t low = __byte_perm(table[0], table[1], selector & 0x7777u);
  const uint32_t high = __byte_perm(table[2], table[3], selector & 0x7777u);
  return __byte_perm(low, high, 0x3210u | (selector & 0x8888u) >> 1);
}
__device__ inline void look_up(const uint32_t (&table)[4], Unit& unit) {
#pragma unroll
  for (int i = 0; i < 4; ++i) unit.words[i] = look_up(table, unit.words[i]);
}
// The numbers of IQ4 plus 128: -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113.
__device__ inline void look_up_iq4(Unit& unit) {
  look_up({0x3f2d1801u, 0x766a5d4fu, 0xa6998d81u, 0xf1d9c5b5u}, unit);
}

struct Q8_0 : Layout<32, 32, 0, 2, 128, false> {
  static constexpr Segment kSegments[] = {{0, 2, Plane::kScales, 0}, {2, 32, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    numbers_at(p.numbers + block * 32 + 16 * u, 0, ~0u, unit);
#pragma unroll
    for (int i = 0; i < 4; ++i) unit.words[i] ^= 0x80808080u;
    unit.scale = half_at(p.scales + block * 2);
    return unit;
  }
};
struct Q4_0 : Layout<32, 16, 0, 2, 8, false> {
  static constexpr Segment kSegments[] = {{0, 2, Plane::kScales, 0}, {2, 16, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    nibbles_at(p.numbers + block * 16, 4 * u, unit);
    unit.scale = half_at(p.scales + block * 2);
    return unit;
  }
};
struct Q4_1 : Layout<32, 16, 0, 4, 0, true> {
  static constexpr Segment kSegments[] = {{0, 4, Plane::kScales, 0}, {4, 16, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    nibbles_at(p.numbers + block * 16, 4 * u, unit);
    const float2 both = halves_at(p.scales + block * 4);
    unit.scale = both.x, unit.minimum = -both.y;
    return unit;
  }
};
struct Q5_0 : Layout<32, 16, 4, 2, 16, false> {
  static constexpr Segment kSegments[] = {
      {0, 2, Plane::kScales, 0}, {2, 4, Plane::kBits, 0}, {6, 16, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    nibbles_at(p.numbers + block * 16, 4 * u, unit);
    add_fifth_bits(word_at(p.bits + block * 4) >> (16 * u), unit);
    unit.scale = half_at(p.scales + block * 2);
    return unit;
  }
};
struct Q5_1 : Layout<32, 16, 4, 4, 0, true> {
  static constexpr Segment kSegments[] = {
      {0, 4, Plane::kScales, 0}, {4, 4, Plane::kBits, 0}, {8, 16, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    nibbles_at(p.numbers + block * 16, 4 * u, unit);
    add_fifth_bits(word_at(p.bits + block * 4) >> (16 * u), unit);
    const float2 both = halves_at(p.scales + block * 4);
    unit.scale = both.x, unit.minimum = -both.y;
    return unit;
  }
};
struct Q2_K : Layout<256, 64, 0, 20, 0, true, false> {
  static constexpr Segment kSegments[] = {
      {0, 16, Plane::kScales, 0}, {16, 64, Plane::kNumbers, 0}, {80, 4, Plane::kScales, 16}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    numbers_at(p.numbers + block * 64 + 32 * (u / 8) + 16 * (u % 2), u % 8 / 2 * 2, 0x03030303u, unit);
    const uint8_t* scales = p.scales + block * 20;
    const float2 both = halves_at(scales + 16);
    unit.scale = __fmul_rn(both.x, static_cast<float>(scales[u] & 15));
    unit.minimum = __fmul_rn(both.y, static_cast<float>(scales[u] >> 4));
    return unit;
  }
};
struct Q3_K : Layout<256, 64, 32, 14, 4, false, false> {
  static constexpr Segment kSegments[] = {
      {0, 32, Plane::kBits, 0}, {32, 64, Plane::kNumbers, 0}, {96, 14, Plane::kScales, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    numbers_at(p.numbers + block * 64 + 32 * (u / 8) + 16 * (u % 2), u % 8 / 2 * 2, 0x03030303u, unit);
    add_bits(p.bits + block * 32 + 16 * (u % 2), u / 2, 0x01010101u, 2, unit);
    const uint8_t* scales = p.scales + block * 14;
    const int low = (scales[u % 8] >> (u / 8 * 4)) & 15, high = (scales[8 + u % 4] >> (u / 4 * 2)) & 3;
    unit.scale = __fmul_rn(half_at(scales + 12), static_cast<float>((low | high << 4) - 32));
    return unit;
  }
};

// The scale and minimum of group `g` of Q4_K and Q5_K, whose scales are 16 bytes.
__device__ inline void six_bit_scales(const uint8_t* p, unsigned g, Unit& unit) {
  const uint4 raw = *reinterpret_cast<const uint4*>(p);
  const unsigned shift = 8 * (g % 4);
  const uint32_t first = raw.y >> shift, second = raw.z >> shift, rest = raw.w >> shift;
  const uint32_t scale = g < 4 ? first & 63 : (rest & 15) | (first >> 6 & 3) << 4;
  const uint32_t minimum = g < 4 ? second & 63 : (rest >> 4 & 15) | (second >> 6 & 3) << 4;
  const float2 both = halves_of(raw.x);
  unit.scale = __fmul_rn(both.x, static_cast<float>(scale));
  unit.minimum = __fmul_rn(both.y, static_cast<float>(minimum));
}
struct Q4_K : Layout<256, 128, 0, 16, 0, true> {
  static constexpr Segment kSegments[] = {{0, 16, Plane::kScales, 0}, {16, 128, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    nibbles_at(p.numbers + block * 128 + 32 * (u / 4) + 16 * (u % 2), u % 4 / 2 * 4, unit);
    six_bit_scales(p.scales + block * 16, u / 2, unit);
    return unit;
  }
};
struct Q5_K : Layout<256, 128, 32, 16, 0, true> {
  static constexpr Segment kSegments[] = {
      {0, 16, Plane::kScales, 0}, {16, 32, Plane::kBits, 0}, {48, 128, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    nibbles_at(p.numbers + block * 128 + 32 * (u / 4) + 16 * (u % 2), u % 4 / 2 * 4, unit);
    add_bits(p.bits + block * 32 + 16 * (u % 2), u / 2, 0x01010101u, 4, unit);
    six_bit_scales(p.scales + block * 16, u / 2, unit);
    return unit;
  }
};
struct Q6_K : Layout<256, 128, 64, 18, 32, false, false> {
  static constexpr Segment kSegments[] = {
      {0, 128, Plane::kNumbers, 0}, {128, 64, Plane::kBits, 0}, {192, 18, Plane::kScales, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    const unsigned half = u / 8, plane = u % 8 / 2, odd = u % 2;
    nibbles_at(p.numbers + block * 128 + 64 * half + 32 * (plane % 2) + 16 * odd, plane / 2 * 4, unit);
    add_bits(p.bits + block * 64 + 32 * half + 16 * odd, 2 * plane, 0x03030303u, 4, unit);
    const uint8_t* scales = p.scales + block * 18;
    unit.scale = __fmul_rn(half_at(scales + 16), static_cast<float>(static_cast<int8_t>(scales[u])));
    return unit;
  }
};
struct IQ4_NL : Layout<32, 16, 0, 2, 128, false> {
  static constexpr Segment kSegments[] = {{0, 2, Plane::kScales, 0}, {2, 16, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    nibbles_at(p.numbers + block * 16, 4 * u, unit);
    look_up_iq4(unit);
    unit.scale = half_at(p.scales + block * 2);
    return unit;
  }
};
struct IQ4_XS : Layout<256, 128, 0, 8, 128, false> {
  static constexpr Segment kSegments[] = {{0, 8, Plane::kScales, 0}, {8, 128, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    const unsigned g = u / 2;
    nibbles_at(p.numbers + block * 128 + 16 * g, u % 2 * 4, unit);
    look_up_iq4(unit);
    const uint2 raw = *reinterpret_cast<const uint2*>(p.scales + block * 8);
    const uint32_t low = (raw.y >> (4 * g)) & 15, high = (raw.x >> (16 + 2 * g)) & 3;
    unit.scale = __fmul_rn(halves_of(raw.x).x, static_cast<float>(static_cast<int>(low | high << 4) - 32));
    return unit;
  }
};
// 128 plus twice the floats of four bits: 0, 1, 2, 3, 4, 6, 8, 12 and the same taken away.
__device__ inline void look_up_e2m1(Unit& unit) {
  look_up({0x83828180u, 0x8c888684u, 0x7d7e7f80u, 0x74787a7cu}, unit);
}
// The scale is half of 2^(e - 127), of which the two smallest are subnormal.
struct MXFP4 : Layout<32, 16, 0, 1, 128, false> {
  static constexpr Segment kSegments[] = {{0, 1, Plane::kScales, 0}, {1, 16, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    nibbles_at(p.numbers + block * 16, 4 * u, unit);
    look_up_e2m1(unit);
    const uint32_t e = p.scales[block];
    unit.scale = __uint_as_float(e < 2 ? 0x00200000u << e : (e - 1) << 23);
    return unit;
  }
};

// A scale per unit: an unsigned float with four bits of exponent and three of fraction, of which 0x7f is 0.
// Its half is 128 times the float of 16 bits with the same exponent and fraction.
struct NVFP4 : Layout<64, 32, 0, 4, 128, false, false> {
  static constexpr Segment kSegments[] = {{0, 4, Plane::kScales, 0}, {4, 32, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    const uint2 raw = *reinterpret_cast<const uint2*>(p.numbers + block * 32 + 8 * u);
    unit.words[0] = raw.x & 0x0f0f0f0fu, unit.words[1] = raw.y & 0x0f0f0f0fu;
    unit.words[2] = raw.x >> 4 & 0x0f0f0f0fu, unit.words[3] = raw.y >> 4 & 0x0f0f0f0fu;
    look_up_e2m1(unit);
    const uint32_t bits = p.scales[block * 4 + u];
    unit.scale = bits == 0x7f ? 0.0f : 128.0f * halves_of((bits & 0x7f) << 7).x;
    return unit;
  }
};

// Digits of base three; five are a byte's fraction of 256.
struct TQ1_0 : Layout<256, 48, 4, 2, 1, false> {
  static constexpr Segment kSegments[] = {
      {0, 48, Plane::kNumbers, 0}, {48, 4, Plane::kBits, 0}, {52, 2, Plane::kScales, 0}};
  // The digits behind `power` of two bytes each that are 16 bits apart.
  static __device__ uint32_t two_digits(uint32_t bytes, uint32_t power) {
    return ((bytes & 0x00ff00ffu) * power & 0x00ff00ffu) * 3 >> 8 & 0x00030003u;
  }
  static __device__ uint32_t digits(uint32_t bytes, unsigned index) {
    const uint32_t power = index == 0 ? 1 : index == 1 ? 3 : index == 2 ? 9 : index == 3 ? 27 : 81;
    return two_digits(bytes, power) | two_digits(bytes >> 8, power) << 8;
  }
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    if (u < 15) {  // ten units of 32 bytes, then five of 16
      numbers_at(p.numbers + block * 48 + (u < 10 ? 16 * (u % 2) : 32), 0, ~0u, unit);
#pragma unroll
      for (int i = 0; i < 4; ++i) unit.words[i] = digits(unit.words[i], u < 10 ? u / 2 : u - 10);
    } else {
      const uint32_t four = word_at(p.bits + block * 4);
#pragma unroll
      for (int i = 0; i < 4; ++i) unit.words[i] = digits(four, i);
    }
    unit.scale = half_at(p.scales + block * 2);
    return unit;
  }
};
struct TQ2_0 : Layout<256, 64, 0, 2, 1, false> {
  static constexpr Segment kSegments[] = {{0, 64, Plane::kNumbers, 0}, {64, 2, Plane::kScales, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    numbers_at(p.numbers + block * 64 + 32 * (u / 8) + 16 * (u % 2), u % 8 / 2 * 2, 0x03030303u, unit);
    unit.scale = half_at(p.scales + block * 2);
    return unit;
  }
};

// Number `i` of a unit less kZero, exactly: the byte becomes the lowest bits of 2^23 + byte.
template <class Format>
__device__ inline float number(const Unit& unit, int i) {
  const uint32_t bits = __byte_perm(unit.words[i / 4], 0x4b000000u, 0x7440u | (i % 4));
  return __uint_as_float(bits) - (8388608.0f + Format::kZero);
}

}  // namespace claa::cuda
