// Numbers that are none: NaN and infinities.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace claa {

// The index of the first value that is not finite, or values.size(). Looks at all exponents before it looks
// for the one, as there is hardly ever one.
inline size_t first_not_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t found = 0;
  for (const float value : values) {
    const uint32_t exponent = std::bit_cast<uint32_t>(value) & kExponent;
    found |= static_cast<uint32_t>(exponent == kExponent);
  }
  if (found == 0) return values.size();
  size_t i = 0;
  while ((std::bit_cast<uint32_t>(values[i]) & kExponent) != kExponent) ++i;
  return i;
}

}  // namespace claa
