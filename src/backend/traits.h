// What others must know of a device to plan for it: plain values, known without the device.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace claa {

// Rows of memory where none are needed behind the last.
constexpr int64_t unpadded(int64_t rows) {
  return rows;
}

struct DeviceTraits {
  // The activation type: of the inputs of linear layers, Q, K and V.
  DType dtype = DType::kF32;
  // Type of projections on their way to RoPE or a gate: f32, or the activation type where bytes moved cost
  // more than they carry.
  DType wide = DType::kF32;
  // Type of what rms_norm() and gate() write where linear layers alone read it: kF8 or kI8 where these round
  // their input anyway, else the activation type.
  DType linear = DType::kF32;
  // Rows of a chunk that keeps the device busy and its caches warm.
  int64_t chunk_rows = 0;
  // Rows of memory that attention() of `rows` packed rows needs in q, out, K and V: a kernel made for a range
  // of lengths touches memory behind the last row. K and V hold finite values there.
  int64_t (*padded)(int64_t rows) = unpadded;
  // Rows that all experts of a layer serve at once, for which there is memory for each expert of a row; 0:
  // one expert is served after the other.
  int64_t expert_rows = 0;
  // Memory in which weights that stay the blocks of their file are unpacked, a part of them at a time, and
  // that of experts; 0: none.
  size_t unpacked_bytes = 0, unpacked_expert_bytes = 0;
  // True if linear() rounds its inputs so coarsely, with many channels per scale, that the channels of a norm
  // should be of one size (model/equalizer.h).
  bool even_channels = false;
  // True if linear_rope(), linear_rope_store() and linear_gate() are operations of their own; else they are
  // two operations, one after the other.
  bool fused_products = false;
  // Memory of the process beside weights, vocabulary and prompts: code and libraries. 0 where a plan is of a
  // device's own memory.
  size_t program_bytes = 0;
};

}  // namespace claa
