// Exact widening of 16-bit floats to f32. Branch free, so that the compiler vectorises loops over them.
#pragma once

#include <bit>
#include <cstdint>

namespace claa {

inline float bf16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline float half_to_float(uint16_t bits) {
  constexpr uint32_t kRebias = (127 - 15) << 23;  // added to an exponent in place
  constexpr uint32_t kOne = kRebias + (1 << 23);  // 2^-14, the smallest normal
  const uint32_t sign = (uint32_t{bits} & 0x8000) << 16;
  const uint32_t magnitude = (uint32_t{bits} & 0x7fff) << 13;
  // All ones where the condition holds; written as masks, since a conditional keeps GCC 12 from vectorising.
  const uint32_t is_subnormal = -static_cast<uint32_t>(magnitude < (1u << 23));
  const uint32_t is_special = -static_cast<uint32_t>(magnitude >= (31u << 23));
  // Infinity and NaN: the exponent must end as all ones, so it gains twice.
  const uint32_t normal = magnitude + kRebias + (kRebias & is_special);
  // Subnormal: put the fraction below a leading one of weight 2^-14, then take that one away. Never computes
  // with an f32 subnormal, so flush-to-zero modes do not matter.
  const float fraction = std::bit_cast<float>(magnitude | kOne) - std::bit_cast<float>(kOne);
  const uint32_t subnormal = std::bit_cast<uint32_t>(fraction);
  return std::bit_cast<float>((subnormal & is_subnormal) | (normal & ~is_subnormal) | sign);
}

}  // namespace claa
