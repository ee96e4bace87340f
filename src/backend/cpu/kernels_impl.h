// Kernel bodies, included once per instruction set by kernels_*.cc with CLAA_KERNELS (table name),
// CLAA_NAMESPACE, CLAA_NAME and CLAA_BF16_DOT set. No include guard: every inclusion is another namespace.

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "backend/cpu/kernels.h"

namespace claa::cpu {
namespace CLAA_NAMESPACE {

#include "backend/cpu/vec_impl.h"

// acc += a b over one 32-bit unit a lane: an f32 product, or two bf16 products.
inline Vec mad(Vec acc, Vec a, Vec b) {
#if CLAA_BF16_DOT && defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#elif CLAA_BF16_DOT
  // In the order of the instruction: the products of the upper halves first.
  return fma(lower_bf16(a), lower_bf16(b), fma(upper_bf16(a), upper_bf16(b), acc));
#else
  return fma(a, b, acc);
#endif
}

// The second operand and the sums' place of one tile: kPanels panels.
struct GemmTile {
  int k;
  const uint32_t* a;
  int64_t lda;
  const uint32_t* b;
  int64_t panel_stride, row_stride;
  float* c;
  int64_t ldc;
  bool accumulate;
};

template <int kM, int kPanels>
inline void gemm_tile(const GemmTile& tile, int row) {
  constexpr int kVectors = 2 * kPanels;
  const float* a = reinterpret_cast<const float*>(tile.a) + row * tile.lda;
  const float* b = reinterpret_cast<const float*>(tile.b);
  float* c = tile.c + row * tile.ldc;
  Vec acc[kM][kVectors];
#pragma GCC unroll 12
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      acc[i][j] = tile.accumulate ? load(c + i * tile.ldc + j * kLanes) : set1(0);
    }
  }
#pragma GCC unroll 4
  for (int kk = 0; kk < tile.k; ++kk) {
    Vec units[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      units[j] = load(b + kk * tile.row_stride + j / 2 * tile.panel_stride + j % 2 * kLanes);
    }
#pragma GCC unroll 12
    for (int i = 0; i < kM; ++i) {
      const Vec ai = set1(a[i * tile.lda + kk]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) acc[i][j] = mad(acc[i][j], ai, units[j]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) store(c + i * tile.ldc + j * kLanes, acc[i][j]);
  }
}

template <int kM, int kPanels>
inline void gemm_rows(const GemmTile& tile, int row, int rest) {
  if (rest == kM) {
    gemm_tile<kM, kPanels>(tile, row);
  } else if constexpr (kM > 1) {
    gemm_rows<kM - 1, kPanels>(tile, row, rest);
  }
}

template <int kPanels>
inline void gemm_panels(int m, const GemmTile& tile) {
  constexpr int kMost = kRows / kPanels;
  int row = 0;
  for (; row + kMost <= m; row += kMost) gemm_tile<kMost, kPanels>(tile, row);
  if (row < m) gemm_rows<kMost - 1, kPanels>(tile, row, m - row);
}

void gemm(int m, int n, int k, const uint32_t* a, int64_t lda, const uint32_t* b, int64_t panel_stride,
          int64_t row_stride, float* c, int64_t ldc, bool accumulate) {
  GemmTile tile{k, a, lda, b, panel_stride, row_stride, c, ldc, accumulate};
  int column = 0;
  for (; column + kWide * kPanel <= n; column += kWide * kPanel) {
    gemm_panels<kWide>(m, tile);
    tile.b += kWide * panel_stride, tile.c += kWide * kPanel;
  }
  if (column < n) gemm_panels<1>(m, tile);
}

// Probabilities as the second product takes them, x = log2 of each.
inline Vec store_probabilities(uint32_t* p, int i, Vec x) {
#if CLAA_BF16_DOT
  const Vec e = exp2_short(x);  // far finer than the rounding
  store_bf16(reinterpret_cast<uint16_t*>(p) + i, e);
#else
  const Vec e = exp2_vec(x);
  store(reinterpret_cast<float*>(p) + i, e);
#endif
  return e;
}

void softmax_step(const float* s, int n, float scale, float* max, float* sum, uint32_t* p, float* o, int d) {
  const float previous = *max;
  Vec best = load(s);
  for (int i = kLanes; i < n; i += kLanes) best = vmax(best, load(s + i));  // n is a multiple of the panel
  const bool grows = any_above(best, set1(previous));
  const float now = grows ? reduce_max(best) : previous;
  const float factor = scale * kLog2e;
  const Vec vfactor = set1(factor);
  const Vec offset = set1(-now * factor);
  Vec total = load(sum);
  if (grows) {
    const Vec keep = set1(previous == -__builtin_inff() ? 0.0f : exp2_one((previous - now) * factor));
    total = mul(total, keep);
    *max = now;
    for (int i = 0; i < d; i += kLanes) store(o + i, mul(load(o + i), keep));  // d is padded to the panel
  }
  for (int i = 0; i < n; i += kLanes) {
    total = add(total, store_probabilities(p, i, fma(load(s + i), vfactor, offset)));
  }
  store(sum, total);
}

float exp_row(float* s, int64_t n, float scale) {
  const float factor = scale * kLog2e;
  const float top = row_max(s, n);
  const Vec vfactor = set1(factor);
  const Vec offset = set1(-top * factor);
  Vec total = set1(0);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec e = exp2_vec(fma(load(s + i), vfactor, offset));
    store(s + i, e);
    total = add(total, e);
  }
  float sum = reduce_add(total);
  for (; i < n; ++i) {
    s[i] = exp2_one((s[i] - top) * factor);
    sum += s[i];
  }
  return sum;
}

void add_scaled(const float* x, int64_t n, float factor, float* y) {
  const Vec f = set1(factor);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, fma(load(x + i), f, load(y + i)));
  for (; i < n; ++i) y[i] += factor * x[i];
}

float dot_f32(const float* a, const float* b, int64_t n) {
  Vec acc[4] = {set1(0), set1(0), set1(0), set1(0)};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int j = 0; j < 4; ++j) acc[j] = fma(load(a + i + j * kLanes), load(b + i + j * kLanes), acc[j]);
  }
  for (; i + kLanes <= n; i += kLanes) acc[0] = fma(load(a + i), load(b + i), acc[0]);
  float sum = reduce_add(add(add(acc[0], acc[1]), add(acc[2], acc[3])));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

float dot_bf16(const uint16_t* a, const uint16_t* b, int64_t n) {
  Vec acc[4] = {set1(0), set1(0), set1(0), set1(0)};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int j = 0; j < 4; ++j) {
      acc[j] = fma(load_bf16(a + i + j * kLanes), load_bf16(b + i + j * kLanes), acc[j]);
    }
  }
  for (; i + kLanes <= n; i += kLanes) acc[0] = fma(load_bf16(a + i), load_bf16(b + i), acc[0]);
  float sum = reduce_add(add(add(acc[0], acc[1]), add(acc[2], acc[3])));
  for (; i < n; ++i) sum += widen_bf16(a[i]) * widen_bf16(b[i]);
  return sum;
}

// tanh u = 1 - 2 / (1 + e^(2u)).
void soft_cap(float* x, int64_t n, float scale, float cap) {
  const float factor = 2 * kLog2e * scale / cap;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec e = exp2_vec(mul(load(x + i), set1(factor)));
    store(x + i, sub(set1(cap), div(set1(2 * cap), add(set1(1.0f), e))));
  }
  for (; i < n; ++i) x[i] = cap - 2 * cap / (1.0f + exp2_one(factor * x[i]));
}

inline void put(void* out, bool bf16, int64_t i, Vec v) {
  if (bf16) {
    store_bf16(static_cast<uint16_t*>(out) + i, v);
  } else {
    store(static_cast<float*>(out) + i, v);
  }
}
inline void put_one(void* out, bool bf16, int64_t i, float v) {
  if (bf16) {
    static_cast<uint16_t*>(out)[i] = round_bf16(v);
  } else {
    static_cast<float*>(out)[i] = v;
  }
}

void rms_norm(const float* x, const float* weight, int64_t n, float eps, void* out, bool bf16) {
  const float scale = 1.0f / __builtin_sqrtf(dot_f32(x, x, n) / static_cast<float>(n) + eps);
  const Vec vscale = set1(scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) put(out, bf16, i, mul(mul(load(x + i), vscale), load(weight + i)));
  for (; i < n; ++i) put_one(out, bf16, i, x[i] * scale * weight[i]);
}

inline Vec silu(Vec g) {
  return div(g, add(set1(1.0f), exp2_vec(mul(g, set1(-kLog2e)))));
}
// As finely as bf16 needs it.
inline Vec silu_short(Vec g) {
  const Vec e = exp2_short(vmin(mul(g, set1(-kLog2e)), set1(127.0f)));
  return mul(g, reciprocal_short(add(set1(1.0f), e)));
}

// The GELU by tanh is x times the logistic function of this.
constexpr float kGeluCubic = 0.044715f, kGeluScale = 1.5957691216057308f;  // 2 sqrt(2 / pi)
inline Vec gelu(Vec g) {
  const Vec inner = mul(mul(set1(kGeluScale), g), fma(mul(set1(kGeluCubic), g), g, set1(1.0f)));
  return div(g, add(set1(1.0f), exp2_vec(mul(inner, set1(-kLog2e)))));
}
inline float gelu_one(float g) {
  const float inner = kGeluScale * g * (1.0f + kGeluCubic * g * g);
  return g / (1.0f + exp2_one(-kLog2e * inner));
}

void geglu(int m, const float* gate, const float* up, int64_t ld, int64_t n, void* out, int64_t ldo,
           bool bf16) {
  for (int64_t row = 0; row < m; ++row, gate += ld, up += ld) {
    const int64_t first = row * ldo;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) put(out, bf16, first + i, mul(gelu(load(gate + i)), load(up + i)));
    for (; i < n; ++i) put_one(out, bf16, first + i, gelu_one(gate[i]) * up[i]);
  }
}

// g' sigmoid(1.702 g') (u' + 1).
inline Vec clamped(Vec g, Vec u) {
  const Vec limit = set1(kClampedLimit), low = vmin(g, limit);
  const Vec wide = vmax(vmin(u, limit), set1(-kClampedLimit));
  const Vec e = exp2_vec(mul(low, set1(-kLog2e * kClampedSlope)));
  return mul(div(low, add(set1(1.0f), e)), add(wide, set1(1.0f)));
}

void clamped_gate(int m, const float* gate, const float* up, int64_t ld, int64_t n, void* out, int64_t ldo,
                  bool bf16) {
  for (int64_t row = 0; row < m; ++row, gate += ld, up += ld) {
    const int64_t first = row * ldo;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) put(out, bf16, first + i, clamped(load(gate + i), load(up + i)));
    for (; i < n; ++i) put_one(out, bf16, first + i, first_lane(clamped(set1(gate[i]), set1(up[i]))));
  }
}

void gate(Activation activation, int m, const float* gate, const float* up, int64_t ld, int64_t n, void* out,
          int64_t ldo, bool bf16) {
  if (activation == Activation::kGelu) return geglu(m, gate, up, ld, n, out, ldo, bf16);
  if (activation == Activation::kClamped) return clamped_gate(m, gate, up, ld, n, out, ldo, bf16);
  for (int64_t row = 0; row < m; ++row, gate += ld, up += ld) {
    const int64_t first = row * ldo;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      const Vec g = load(gate + i);
      put(out, bf16, first + i, mul(bf16 ? silu_short(g) : silu(g), load(up + i)));
    }
    for (; i < n; ++i) {
      put_one(out, bf16, first + i, gate[i] / (1.0f + exp2_one(-kLog2e * gate[i])) * up[i]);
    }
  }
}

void rope_head(const float* x, const float* cos, const float* sin, int64_t half, bool interleaved, void* out,
               bool bf16) {
  int64_t i = 0;
  if (interleaved) {
    for (; i + kLanes / 2 <= half; i += kLanes / 2) {
      put(out, bf16, 2 * i, rotate_pairs(load(x + 2 * i), cos + i, sin + i));
    }
  } else {
    for (; i + kLanes <= half; i += kLanes) {
      const Vec a = load(x + i), b = load(x + half + i), c = load(cos + i), s = load(sin + i);
      put(out, bf16, i, sub(mul(a, c), mul(b, s)));
      put(out, bf16, half + i, fma(a, s, mul(b, c)));
    }
  }
  for (; i < half; ++i) {
    const int64_t first = interleaved ? 2 * i : i;
    const int64_t second = interleaved ? 2 * i + 1 : half + i;
    const float a = x[first], b = x[second];
    put_one(out, bf16, first, a * cos[i] - b * sin[i]);
    put_one(out, bf16, second, a * sin[i] + b * cos[i]);
  }
}

void to_bf16(const float* x, int64_t n, uint16_t* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_bf16(out + i, load(x + i));
  for (; i < n; ++i) out[i] = round_bf16(x[i]);
}

void scaled(const float* x, int64_t n, float factor, void* out, bool bf16) {
  const Vec vfactor = set1(factor);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) put(out, bf16, i, mul(load(x + i), vfactor));
  for (; i < n; ++i) put_one(out, bf16, i, x[i] * factor);
}

void to_f32(const uint16_t* x, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load_bf16(x + i));
  for (; i < n; ++i) out[i] = widen_bf16(x[i]);
}

#include "backend/cpu/delta_kernels_impl.h"
#include "backend/cpu/few_rows_impl.h"

}  // namespace CLAA_NAMESPACE

const Kernels CLAA_KERNELS = {
    CLAA_NAME,
    CLAA_NAMESPACE::kPanel,
    CLAA_BF16_DOT != 0,
    CLAA_NAMESPACE::gemm,
    CLAA_NAMESPACE::softmax_step,
    CLAA_NAMESPACE::exp_row,
    CLAA_NAMESPACE::soft_cap,
    CLAA_NAMESPACE::add_scaled,
    CLAA_NAMESPACE::dot_f32,
    CLAA_NAMESPACE::dot_bf16,
    CLAA_NAMESPACE::rms_norm,
    CLAA_NAMESPACE::gate,
    CLAA_NAMESPACE::rope_head,
    CLAA_NAMESPACE::to_bf16,
    CLAA_NAMESPACE::scaled,
    CLAA_NAMESPACE::to_f32,
    CLAA_NAMESPACE::few_dots,
    CLAA_NAMESPACE::few_sums,
    CLAA_NAMESPACE::logistic_gate,
    CLAA_NAMESPACE::convolve,
    CLAA_NAMESPACE::exp_differences,
    CLAA_NAMESPACE::delta_step,
};

}  // namespace claa::cpu
