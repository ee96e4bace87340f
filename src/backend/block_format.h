// The formats of blocks that backends multiply as they are. Nothing else is here, as the compiler of CUDA
// reads it.
#pragma once

#include <cstdint>

namespace claa {

enum class BlockFormat : uint8_t {
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  kNVFP4,
  kTQ1_0,
  kTQ2_0,
  kIQ1_S,
  kIQ1_M,
  kIQ2_XXS,
  kIQ2_XS,
  kIQ2_S,
  kIQ3_XXS,
  kIQ3_S,
  kF16,  // the last two have values in place of blocks
  kBF16
};
constexpr int kBlockFormats = 25;

}  // namespace claa
