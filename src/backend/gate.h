// The function of a gate, for code that knows plain types alone.
#pragma once

#include <cstdint>

namespace claa {

// What gate() makes of a gate g and a value u: silu(g) u; gelu(g) u, with the approximation by tanh; or the
// clamped form of gpt-oss, g' sigmoid(1.702 g') (u' + 1) with g' = min(g, 7) and u' within -7 .. 7.
enum class Activation : uint8_t { kSilu, kGelu, kClamped };
constexpr float kClampedLimit = 7, kClampedSlope = 1.702f;

}  // namespace claa
