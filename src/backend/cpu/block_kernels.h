// The kernels of weights that stay the blocks of their file (block_weight.h): blocks to f32, for products of
// many rows, and the product of a row of blocks with few rows of activations, which are rounded to 8 bits.
// block_kernels_impl.h is compiled once per instruction set, like kernels_impl.h. Sums of integers are exact
// and f32 is added in one order, so that all instruction sets give the same bits.
#pragma once

#include <cstdint>

#include "backend/block_format.h"

namespace claa::cpu {

constexpr int kRoundedGroup = 32;  // activations that share a scale
constexpr int kRoundedHalf = 16;   // activations that share a sum, as some formats have a scale for so many

// Rows of activations in 8 bits. `inputs` is a multiple of the group.
struct RoundedRows {
  int64_t inputs;
  const int8_t* values;  // [rows, inputs] from -127 to 127
  const float* scales;   // [rows, inputs / 32]
  const float* sums;     // [rows, inputs / 32] the scale times the sum of the group's values
  const float* halves;   // [rows, inputs / 16] the same of each half
  RoundedRows from(int64_t row) const {
    const int64_t groups = row * (inputs / kRoundedGroup);
    return {inputs, values + row * inputs, scales + groups, sums + groups, halves + 2 * groups};
  }
};

struct BlockKernels {
  const char* name;
  // x[n] -> values and scales of a row; n is a multiple of the group.
  void (*round)(const float* x, int64_t n, int8_t* values, float* scales);
  // The sums of a row of such values.
  void (*sum)(const int8_t* values, const float* scales, int64_t n, float* sums, float* halves);
  // out[r * stride] = the product of one row of blocks with row r of x. A row's result does not depend on the
  // other rows.
  void (*dots[kBlockFormats])(const uint8_t* blocks, const RoundedRows& x, int rows, float* out,
                              int64_t stride);
  // n values from the first block on, whole blocks: the bits of gguf::dequantize().
  void (*widen[kBlockFormats])(const uint8_t* blocks, int64_t n, float* out);
  // x[n] -> 8-bit values, scales and sums of the values per `group`, with the numbers of IntKernels::quantize
  // less 128; n and the group are multiples of 32.
  void (*to_eight_bits)(const float* x, int64_t n, int64_t group, int8_t* values, float* scales,
                        int32_t* sums);
  // x[n] rounded to bf16, in f32; n is a multiple of eight.
  void (*round_to_bf16)(float* x, int64_t n);
  // Rows of units of 32 bits, `stride` apart, to columns: to[unit, width] = from[width, unit]. `width` is a
  // multiple of eight.
  void (*transpose)(const uint32_t* from, int64_t stride, int64_t width, int64_t units, uint32_t* to);
};

extern const BlockKernels kBlockKernelsAvx2;
extern const BlockKernels kBlockKernelsAvxVnni;
extern const BlockKernels kBlockKernelsAvx512Vnni;

}  // namespace claa::cpu
