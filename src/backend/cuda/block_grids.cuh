// The layouts of the block formats whose numbers are points of a grid (gguf/iq_grids.h), four or eight
// neighbours by one index: see block_formats.cuh.
#pragma once

#include "backend/cuda/block_formats.cuh"

namespace claa::cuda {

// 128 plus four numbers below 128, or less those whose lowest bits of `signs` are set.
__device__ inline uint32_t with_signs(uint32_t numbers, uint32_t signs) {
  const uint32_t minus = ((signs & 15u) * 0x00204081u & 0x01010101u) * 255u;
  return 0x80808080u + (numbers & ~minus) - (numbers & minus);
}
// Seven signs, and an eighth that makes the number of minus signs even.
__device__ inline uint32_t even_signs(uint32_t seven) {
  return seven | (static_cast<uint32_t>(__popc(seven)) & 1u) << 7;
}
// The half of a unit that is the point of eight numbers at `index`.
__device__ inline void put_eight(const uint8_t* grid, uint32_t index, uint32_t signs, int half, Unit& unit) {
  const uint2 point = *reinterpret_cast<const uint2*>(grid + 8 * index);
  unit.words[2 * half] = with_signs(point.x, signs);
  unit.words[2 * half + 1] = with_signs(point.y, signs >> 4);
}
// The four points of a unit: the low bits of their indices are bytes of a word, the ninth those of `high`.
__device__ inline void put_fours(const uint8_t* grid, uint32_t low, uint32_t high, uint32_t signs,
                                 Unit& unit) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint32_t index = (low >> (8 * i) & 255u) | (high >> i & 1u) << 8;
    unit.words[i] = with_signs(word_at(grid + 4 * index), signs >> (4 * i));
  }
}
// A scale d * (2 n + 1).
__device__ inline float odd_scale(float d, uint32_t n) {
  return __fmul_rn(d, static_cast<float>(2 * n + 1));
}
__device__ inline uint32_t nibble_at(const uint8_t* p, unsigned index) {
  return p[index / 2] >> (4 * (index % 2)) & 15u;
}

// Each 32 values: four bytes of points, then a word with seven bits of signs per point and four of scale.
struct IQ2_XXS : Layout<256, 64, 0, 2, 128, false> {
  static constexpr Segment kSegments[] = {{0, 2, Plane::kScales, 0}, {2, 64, Plane::kNumbers, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    const uint2 group = *reinterpret_cast<const uint2*>(p.numbers + block * 64 + 8 * (u / 2));
    const uint32_t points = group.x >> (16 * (u % 2)), signs = group.y >> (14 * (u % 2));
    put_eight(p.grid, points & 255u, even_signs(signs & 127u), 0, unit);
    put_eight(p.grid, points >> 8 & 255u, even_signs(signs >> 7 & 127u), 1, unit);
    unit.scale = odd_scale(half_at(p.scales + block * 2) * 0.125f, group.y >> 28);
    return unit;
  }
};
struct IQ2_XS : Layout<256, 64, 0, 10, 128, false, false> {
  static constexpr Segment kSegments[] = {
      {0, 2, Plane::kScales, 0}, {2, 64, Plane::kNumbers, 0}, {66, 8, Plane::kScales, 2}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    const uint32_t words = word_at(p.numbers + block * 64 + 4 * u);
    put_eight(p.grid, words & 511u, even_signs(words >> 9 & 127u), 0, unit);
    put_eight(p.grid, words >> 16 & 511u, even_signs(words >> 25), 1, unit);
    const uint8_t* scales = p.scales + block * 10;
    unit.scale = odd_scale(half_at(scales) * 0.125f, nibble_at(scales + 2, u));
    return unit;
  }
};
// Numbers are 32 bytes of points, then 32 of signs; further bits of points are pairs.
struct IQ2_S : Layout<256, 64, 8, 10, 128, false, false> {
  static constexpr Segment kSegments[] = {{0, 2, Plane::kScales, 0},
                                          {2, 64, Plane::kNumbers, 0},
                                          {66, 8, Plane::kBits, 0},
                                          {74, 8, Plane::kScales, 2}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    const uint8_t* numbers = p.numbers + block * 64 + 2 * u;
    const uint32_t low = short_at(numbers), signs = short_at(numbers + 32);
    const uint32_t high = nibble_at(p.bits + block * 8, u);
    put_eight(p.grid, (low & 255u) | (high & 3u) << 8, signs, 0, unit);
    put_eight(p.grid, low >> 8 | high >> 2 << 8, signs >> 8, 1, unit);
    const uint8_t* scales = p.scales + block * 10;
    unit.scale = odd_scale(half_at(scales) * 0.125f, nibble_at(scales + 2, u));
    return unit;
  }
};
// Bits are a word for each 32 values, as in IQ2_XXS.
struct IQ3_XXS : Layout<256, 64, 32, 2, 128, false> {
  static constexpr Segment kSegments[] = {
      {0, 2, Plane::kScales, 0}, {2, 64, Plane::kNumbers, 0}, {66, 32, Plane::kBits, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    const uint32_t word = word_at(p.bits + block * 32 + 4 * (u / 2)), signs = word >> (14 * (u % 2));
    put_fours(p.grid, word_at(p.numbers + block * 64 + 4 * u), 0,
              even_signs(signs & 127u) | even_signs(signs >> 7 & 127u) << 8, unit);
    unit.scale = odd_scale(half_at(p.scales + block * 2) * 0.25f, word >> 28);
    return unit;
  }
};
// Bits are 32 bytes of signs, then 8 with the ninth bits of points.
struct IQ3_S : Layout<256, 64, 40, 6, 128, false> {
  static constexpr Segment kSegments[] = {{0, 2, Plane::kScales, 0},
                                          {2, 64, Plane::kNumbers, 0},
                                          {66, 8, Plane::kBits, 32},
                                          {74, 32, Plane::kBits, 0},
                                          {106, 4, Plane::kScales, 2}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    const uint8_t* bits = p.bits + block * 40;
    put_fours(p.grid, word_at(p.numbers + block * 64 + 4 * u), nibble_at(bits + 32, u),
              short_at(bits + 2 * u), unit);
    const uint8_t* scales = p.scales + block * 6;
    unit.scale = odd_scale(half_at(scales), nibble_at(scales + 2, u / 2));
    return unit;
  }
};

// The half of a unit that is the point of IQ1 at `index`, of numbers -1, 0 and 1, moved by an eighth: numbers
// are eighths.
__device__ inline void put_moved(const uint8_t* grid, uint32_t index, bool down, int half, Unit& unit) {
  const uint2 point = *reinterpret_cast<const uint2*>(grid + 8 * index);
  const auto moved = [down](uint32_t numbers) {  // two bits of each are a number with its sign
    const uint32_t eights = 0x80808080u + (numbers & 0x01010101u) * 8 - (numbers >> 1 & 0x01010101u) * 16;
    return down ? eights - 0x01010101u : eights + 0x01010101u;
  };
  unit.words[2 * half] = moved(point.x);
  unit.words[2 * half + 1] = moved(point.y);
}
// Scales are d and a word for each 32 values: three bits of each of four points, three of scale, and a move.
struct IQ1_S : Layout<256, 32, 0, 18, 128, false> {
  static constexpr Segment kSegments[] = {
      {0, 2, Plane::kScales, 0}, {2, 32, Plane::kNumbers, 0}, {34, 16, Plane::kScales, 2}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    const uint8_t* scales = p.scales + block * 18;
    const uint32_t low = short_at(p.numbers + block * 32 + 2 * u), word = short_at(scales + 2 + u / 2 * 2);
    const uint32_t high = word >> (6 * (u % 2));
    put_moved(p.grid, (low & 255u) | (high & 7u) << 8, (word & 0x8000u) != 0, 0, unit);
    put_moved(p.grid, low >> 8 | (high >> 3 & 7u) << 8, (word & 0x8000u) != 0, 1, unit);
    unit.scale = odd_scale(half_at(scales) * 0.125f, word >> 12 & 7u);
    return unit;
  }
};
// Scales are four words, whose highest nibbles are the block's scale, with four scales of three bits below.
struct IQ1_M : Layout<256, 32, 16, 8, 128, false, false> {
  static constexpr Segment kSegments[] = {
      {0, 32, Plane::kNumbers, 0}, {32, 16, Plane::kBits, 0}, {48, 8, Plane::kScales, 0}};
  static __device__ Unit read(const Planes& p, int64_t block, unsigned u) {
    Unit unit;
    const uint32_t low = short_at(p.numbers + block * 32 + 2 * u), high = p.bits[block * 16 + u];
    put_moved(p.grid, (low & 255u) | (high & 7u) << 8, (high & 8u) != 0, 0, unit);
    put_moved(p.grid, low >> 8 | (high >> 4 & 7u) << 8, (high & 128u) != 0, 1, unit);
    const uint2 words = *reinterpret_cast<const uint2*>(p.scales + block * 8);
    const float d = halves_of((words.x >> 12 & 15u) | (words.x >> 28) << 4 | (words.y >> 12 & 15u) << 8 |
                              (words.y >> 28) << 12)
                        .x;
    const uint32_t word = (u < 8 ? words.x : words.y) >> (u % 8 / 4 * 16);
    unit.scale = odd_scale(d * 0.125f, word >> (3 * (u % 4)) & 7u);
    return unit;
  }
};

}  // namespace claa::cuda
