// The integer kernels of the CPU backend (dtype int8): linear layers and attention on 8-bit products.
// int_kernels_impl.h is compiled once per instruction set, like kernels_impl.h. Integer sums are exact, so
// all instruction sets agree but for the rounding of f32.
#pragma once

#include <cstdint>

namespace claa::cpu {

constexpr int kIntMaxHead = 128;      // a query, key or value has one scale
constexpr int kMaxProbability = 255;  // stored unsigned

// One panel of a weight: `panel` outputs. Units are four inputs of one output.
struct IntPanel {
  int64_t group;           // inputs that share a scale, a multiple of four
  const int8_t* units;     // [inputs / 4, panel, 4]
  const int32_t* offsets;  // [groups, panel]: -128 times the group's sum, as activations are stored plus 128
  const float* scales;     // [groups, panel]
};

// Turns products of a query with keys into logarithms (base 2) of the probabilities, times the value's scale.
struct IntKeys {
  const int32_t* offset;   // [keys] -128 times the key's sum, as queries are stored plus 128
  const float* scale;      // [keys]
  const float* log_value;  // [keys] log2 of the value's scale
};

// The online softmax of m rows.
struct IntSums {
  float* max;     // [m] so far
  float* sum;     // [m, panel / 2] so far, of each lane
  float* o;       // [m, d] rescaled where the maximum grows
  int64_t d;      // a multiple of the panel
  float* weight;  // [m] by what the block's products with values are to be multiplied
};

struct IntKernels {
  const char* name;
  int panel;  // columns of a panel (two vectors)

  // x[n] (f32 or bf16) -> 8-bit values plus 128 and one scale per `group` of them; the rest of the last
  // unit of four is 128 (zero).
  void (*quantize)(const void* x, bool bf16, int64_t n, int64_t group, uint8_t* out, float* scales);
  // c[m, panel] (+)= a[m, 4 * units] w^T; a_scales [m, groups].
  void (*linear)(int m, int64_t units, const uint8_t* a, const float* a_scales, const IntPanel& weight,
                 float* c, int64_t ldc, bool accumulate);

  // t[m, n] = factors[m] * scale[n] * (offset[n] + a[m, k] b[k, n]) + log_value[n]: logarithms, of products
  // in fours of 8 bits. b is stored as panels [k, panel]; n is a multiple of the panel. `factors` hold the
  // queries' scales and log2(e) / sqrt(head size).
  void (*logarithms)(int m, int n, int k, const uint32_t* a, const uint32_t* b, const float* factors,
                     const IntKeys& keys, float* t, int64_t ldt);
  // One step of the online softmax over rows of n logarithms, of which the first seen[m] count (n is a
  // multiple of the panel; the others are overwritten): updates `sums` and writes 8-bit probabilities to p
  // [m, n]. inverse_value [n]: 1 / the value's scale.
  void (*softmax_step)(int m, float* t, int64_t ldt, int n, const int32_t* seen, const float* inverse_value,
                       const IntSums& sums, uint8_t* p, int64_t ldp);
  // c[m, n] += weight[m] * (a[m, k] b[k, n]) in fours of 8 bits, a unsigned.
  void (*add_products)(int m, int n, int k, const uint32_t* a, int64_t lda, const uint32_t* b,
                       int64_t panel_stride, int64_t row_stride, const float* weight, float* c, int64_t ldc);
};

extern const IntKernels kIntKernelsAvx2;
extern const IntKernels kIntKernelsAvx512Vnni;

}  // namespace claa::cpu
