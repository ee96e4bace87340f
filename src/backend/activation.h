// Matrices of a prompt's rows between operations. They are asked for by role, so that their layout, above all
// that of 8 bits with scales, is the device's affair.
#pragma once

#include "backend/traits.h"

namespace claa {

enum class ActivationRole : uint8_t {
  kNormed,     // written by rms_norm(), read by linear layers
  kProjected,  // on its way to RoPE
  kQuery,      // rotated queries
  kAttention,  // written by attention()
  kBranch,     // f32: a branch of the layer before the norm that follows it
  kGateUp,     // gate and up beside each other
  kGated,      // written by gate(), read by linear layers
  kIndices,    // i32
};

// How many values of a row of kI8 share a scale: a channel far larger than the rest costs precision in its
// own group only. gate() writes products of two activations, whose outliers are the worst.
constexpr int64_t kI8Group = 128, kI8GatedGroup = 64;

// Bytes of memory for a matrix of up to `rows` rows and `columns` columns; the same on a device of one
// activation type, whatever its linear layers read.
size_t activation_bytes(const DeviceTraits& device, ActivationRole role, int64_t rows, int64_t columns);

// The matrix [rows, columns] in such memory.
Tensor activation(const DeviceTraits& device, ActivationRole role, int64_t rows, int64_t columns,
                  void* memory);

}  // namespace claa
