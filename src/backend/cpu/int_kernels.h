// The integer kernels of the CPU backend (dtype int8): linear layers and queries times keys on 8-bit
// products, probabilities times values on 16-bit ones. int_kernels_impl.h is compiled once per instruction
// set, like kernels_impl.h. Integer sums are exact, so all instruction sets agree but for the rounding of
// f32.
#pragma once

#include <cstdint>

namespace claa::cpu {

// Inputs that share one scale in a row of activations and in an output's weights: a channel far larger than
// the rest costs only its own group precision.
constexpr int kIntGroup = 128;
constexpr int kIntMaxHead = kIntGroup;  // a query or key has one scale
constexpr int kIntKeyBlock = 128;       // the largest block of keys
// Largest magnitudes of 16-bit values: kIntKeyBlock products of a probability and a value stay within 32 bits
// (128 * 2047 * 8191 < 2^31).
constexpr int kMaxProbability = 2047, kMaxValue = 8191;

// One panel of a weight: `panel` outputs. Units are four inputs of one output.
struct IntPanel {
  const int8_t* units;     // [inputs / 4, panel, 4]
  const int32_t* offsets;  // [groups, panel]: -128 times the group's sum, as activations are stored plus 128
  const float* scales;     // [groups, panel]
};

// One step of the online softmax over integer products of a query with a block of keys, base 2.
struct IntSoftmax {
  const float* key_scale;      // [keys] of the block
  const float* log_value;      // [keys] log2 of the value's scale, by which probabilities are multiplied
  const float* inverse_value;  // [keys] 1 / the value's scale
  float factor;                // query scale / sqrt(head size) * log2(e)
};

struct IntKernels {
  const char* name;
  int panel;  // columns of a panel (two vectors)

  // x[n] (f32 or bf16) -> 8-bit values plus 128 and one scale per group of kIntGroup; the rest of the last
  // unit of four is 128 (zero).
  void (*quantize)(const void* x, bool bf16, int64_t n, uint8_t* out, float* scales);
  // Values of one row as 16 bits of magnitude at most `limit`; returns the scale. Rows below 2^-24 lose
  // precision.
  float (*quantize16)(const void* x, bool bf16, int64_t n, int limit, int16_t* out);
  // c[m, panel] (+)= a[m, 4 * units] w^T; a_scales [m, groups].
  void (*linear)(int m, int64_t units, const uint8_t* a, const float* a_scales, const IntPanel& weight,
                 float* c, int64_t ldc, bool accumulate);

  // c[m, n] = offsets[n] + a[m, k] b[k, n] in fours of 8 bits; panels as in Kernels::gemm.
  void (*products)(int m, int n, int k, const uint32_t* a, int64_t lda, const uint32_t* b,
                   int64_t panel_stride, int64_t row_stride, const int32_t* offsets, int32_t* c, int64_t ldc);
  // Row of n products, of which the first `seen` count (n is a multiple of the panel and has room to be
  // overwritten): updates maximum and sum, rescales o[d], writes 16-bit probabilities to p and returns by
  // what their products with values are to be multiplied.
  float (*softmax_step)(int32_t* s, int n, int64_t seen, const IntSoftmax& step, float* max, float* sum,
                        uint16_t* p, float* o, int d);
  // c[m, n] += weight[m] * (a[m, k] b[k, n]).
  void (*add_products)(int m, int n, int k, const uint32_t* a, int64_t lda, const uint32_t* b,
                       int64_t panel_stride, int64_t row_stride, const float* weight, float* c, int64_t ldc);
};

extern const IntKernels kIntKernelsAvx2;
extern const IntKernels kIntKernelsAvx512Vnni;

}  // namespace claa::cpu
