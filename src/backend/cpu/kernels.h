// The SIMD kernels of the CPU backend. kernels_impl.h is compiled once per instruction set; select_kernels()
// picks at run time. Kernel sources use only intrinsics and plain types, so that no template of the standard
// library is ever compiled with wider instructions than the CPU at hand.
#pragma once

#include <cstdint>

#include "backend/gate.h"

namespace claa::cpu {

// The product or logarithm of a key that is not seen: its probability is zero, and differences with
// it are finite.
constexpr float kUnseen = -1e30f;

struct Kernels {
  const char* name;
  int panel;      // columns of a matrix panel (two vectors)
  bool bf16_dot;  // bf16 products: matrix units are pairs of bf16; else units are f32

  // c[m, n] (+)= a[m, k] b[k, n]. Units are 32 bits: an f32, or a pair of bf16 along k. b is stored as panels
  // of `panel` columns: element (kk, col) of panel p lies at b + p * panel_stride + kk * row_stride + col. n
  // is a multiple of panel.
  void (*gemm)(int m, int n, int k, const uint32_t* a, int64_t lda, const uint32_t* b, int64_t panel_stride,
               int64_t row_stride, float* c, int64_t ldc, bool accumulate);

  // One step of the online softmax over a row of raw products s[n]: updates the running maximum and the sum,
  // which is kept apart for each lane (panel / 2), writes exp(scale * (s - max)) to p (f32, or bf16 pairs
  // when bf16_dot) and rescales o[d].
  void (*softmax_step)(const float* s, int n, float scale, float* max, float* sum, uint32_t* p, float* o,
                       int d);
  // s[n] = exp(scale * (s - max s)); returns the sum.
  float (*exp_row)(float* s, int64_t n, float scale);
  // x[n] = cap * tanh(scale * x / cap).
  void (*soft_cap)(float* x, int64_t n, float scale, float cap);
  // y[n] += factor * x[n].
  void (*add_scaled)(const float* x, int64_t n, float factor, float* y);

  float (*dot_f32)(const float* a, const float* b, int64_t n);
  float (*dot_bf16)(const uint16_t* a, const uint16_t* b, int64_t n);  // bf16 inputs, f32 sums

  // out = x / sqrt(mean(x^2) + eps) * weight, as f32 or bf16.
  void (*rms_norm)(const float* x, const float* weight, int64_t n, float eps, void* out, bool bf16);
  // out[m, n] = what `activation` makes of gate and up, as f32 or bf16; gate and up [m, n], their rows `ld`
  // apart, those of out `ldo`.
  void (*gate)(Activation activation, int m, const float* gate, const float* up, int64_t ld, int64_t n,
               void* out, int64_t ldo, bool bf16);
  // Rotates one head of 2 * half values (interleaved pairs or halves); out f32 or bf16.
  void (*rope_head)(const float* x, const float* cos, const float* sin, int64_t half, bool interleaved,
                    void* out, bool bf16);
  void (*to_bf16)(const float* x, int64_t n, uint16_t* out);
  // out = factor * x, as f32 or bf16.
  void (*scaled)(const float* x, int64_t n, float factor, void* out, bool bf16);
  void (*to_f32)(const uint16_t* x, int64_t n, float* out);

  // For few queries of one KV head over keys and values where they lie, rows of `stride` elements, f32 or
  // bf16: s[group, count] = q[group, n] k[count, n]^T; `wide` has room for a panel of keys in f32.
  void (*few_dots)(const float* q, int group, const void* k, bool bf16, int64_t stride, int64_t n, int count,
                   float* wide, float* s, int64_t s_stride);
  // o[group, n] += p[group, count] v[count, n].
  void (*few_sums)(const float* p, int64_t p_stride, int group, const void* v, bool bf16, int64_t stride,
                   int64_t n, int count, float* o);

  // x[n] *= the logistic function of gate, x f32 or bf16.
  void (*logistic_gate)(const float* gate, int64_t n, void* x, bool bf16);
  // out[n] = silu(sum over j < width of weight[j, n] * rows[j][n]).
  void (*convolve)(const float* const* rows, const float* weight, int width, int64_t n, float* out);
  // out[n] = e^(from - x[n]).
  void (*exp_differences)(float from, const float* x, int64_t n, float* out);
  // One row of the gated delta rule (Ops::delta_rule): the memory s[keys, values] shrinks by `decay`, takes
  // in `take` times what v[values] has beyond it at key k[keys], and is read by q[keys], times `scale`.
  void (*delta_step)(float* s, int64_t keys, int64_t values, const float* q, const float* k, const float* v,
                     float decay, float take, float scale, float* out);
};

extern const Kernels kKernelsAvx2;
extern const Kernels kKernelsAvx2Bf16;  // bf16 dot products emulated, for tests
extern const Kernels kKernelsAvx512;
extern const Kernels kKernelsAvx512Bf16;

}  // namespace claa::cpu
