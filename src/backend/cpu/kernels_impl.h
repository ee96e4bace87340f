// Kernel bodies, included once per instruction set by kernels_*.cc with CLAA_KERNELS (table name),
// CLAA_NAMESPACE, CLAA_NAME and CLAA_BF16_DOT set. No include guard: every inclusion is another namespace.

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "backend/cpu/kernels.h"

namespace claa::cpu {
namespace CLAA_NAMESPACE {

#if defined(__AVX512F__)
using Vec = __m512;
constexpr int kLanes = 16;
constexpr int kRows = 12;  // 12 x 2 accumulators + 2 operands of 32 registers
inline Vec load(const float* p) {
  return _mm512_loadu_ps(p);
}
inline void store(float* p, Vec v) {
  _mm512_storeu_ps(p, v);
}
inline Vec set1(float x) {
  return _mm512_set1_ps(x);
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Vec add(Vec a, Vec b) {
  return _mm512_add_ps(a, b);
}
inline Vec sub(Vec a, Vec b) {
  return _mm512_sub_ps(a, b);
}
inline Vec mul(Vec a, Vec b) {
  return _mm512_mul_ps(a, b);
}
inline Vec div(Vec a, Vec b) {
  return _mm512_div_ps(a, b);
}
inline Vec vmax(Vec a, Vec b) {
  return _mm512_max_ps(a, b);
}
inline Vec vmin(Vec a, Vec b) {
  return _mm512_min_ps(a, b);
}
inline Vec round_nearest(Vec a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec pow2i(Vec a) {  // a holds integers from -127 to 127; -127 gives 0
  const __m512i n = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127));
  return _mm512_castsi512_ps(_mm512_slli_epi32(n, 23));
}
inline float first_lane(Vec a) {
  return _mm512_cvtss_f32(a);
}
inline float reduce_add(Vec a) {
  return _mm512_reduce_add_ps(a);
}
inline float reduce_max(Vec a) {
  return _mm512_reduce_max_ps(a);
}
inline Vec load_bf16(const uint16_t* p) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
inline void store_bf16(uint16_t* p, Vec v) {  // round to nearest even; inputs are finite
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}
#else
using Vec = __m256;
constexpr int kLanes = 8;
constexpr int kRows = 6;  // 6 x 2 accumulators + 2 operands + 1 broadcast of 16 registers
inline Vec load(const float* p) {
  return _mm256_loadu_ps(p);
}
inline void store(float* p, Vec v) {
  _mm256_storeu_ps(p, v);
}
inline Vec set1(float x) {
  return _mm256_set1_ps(x);
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Vec add(Vec a, Vec b) {
  return _mm256_add_ps(a, b);
}
inline Vec sub(Vec a, Vec b) {
  return _mm256_sub_ps(a, b);
}
inline Vec mul(Vec a, Vec b) {
  return _mm256_mul_ps(a, b);
}
inline Vec div(Vec a, Vec b) {
  return _mm256_div_ps(a, b);
}
inline Vec vmax(Vec a, Vec b) {
  return _mm256_max_ps(a, b);
}
inline Vec vmin(Vec a, Vec b) {
  return _mm256_min_ps(a, b);
}
inline Vec round_nearest(Vec a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec pow2i(Vec a) {  // a holds integers from -127 to 127; -127 gives 0
  const __m256i n = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(n, 23));
}
inline float first_lane(Vec a) {
  return _mm256_cvtss_f32(a);
}
inline float reduce_add(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
inline float reduce_max(Vec a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}
inline Vec load_bf16(const uint16_t* p) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
inline void store_bf16(uint16_t* p, Vec v) {  // round to nearest even; inputs are finite
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i high =
      _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}
#endif

constexpr int kPanel = 2 * kLanes;
constexpr float kLog2e = 1.44269504088896341f;

inline uint16_t round_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
inline float widen_bf16(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

// 2^x for x <= 127, relative error below 2e-7; x <= -127 gives 0. Degree-6 Taylor polynomial on [-1/2, 1/2].
inline Vec exp2_vec(Vec x) {
  x = vmax(vmin(x, set1(127.0f)), set1(-127.0f));
  const Vec n = round_nearest(x);
  const Vec f = sub(x, n);
  Vec p = set1(1.5403530e-4f);
  p = fma(p, f, set1(1.3333558e-3f));
  p = fma(p, f, set1(9.6181291e-3f));
  p = fma(p, f, set1(5.5504109e-2f));
  p = fma(p, f, set1(2.4022651e-1f));
  p = fma(p, f, set1(6.9314718e-1f));
  p = fma(p, f, set1(1.0f));
  return mul(p, pow2i(n));
}
inline float exp2_one(float x) {
  return first_lane(exp2_vec(set1(x)));
}

// acc += a b over one 32-bit unit a lane: an f32 product, or two bf16 products.
inline Vec mad(Vec acc, Vec a, Vec b) {
#if CLAA_BF16_DOT
  return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
  return fma(a, b, acc);
#endif
}

template <int kM>
inline void gemm_tile(int k, const uint32_t* a_units, int64_t lda, const uint32_t* b_units,
                      int64_t row_stride, float* c, int64_t ldc, bool accumulate) {
  const float* a = reinterpret_cast<const float*>(a_units);
  const float* b = reinterpret_cast<const float*>(b_units);
  Vec acc[kM][2];
  for (int i = 0; i < kM; ++i) {
    acc[i][0] = accumulate ? load(c + i * ldc) : set1(0);
    acc[i][1] = accumulate ? load(c + i * ldc + kLanes) : set1(0);
  }
  for (int kk = 0; kk < k; ++kk) {
    const Vec b0 = load(b + kk * row_stride);
    const Vec b1 = load(b + kk * row_stride + kLanes);
#pragma GCC unroll 12
    for (int i = 0; i < kM; ++i) {
      const Vec ai = set1(a[i * lda + kk]);
      acc[i][0] = mad(acc[i][0], ai, b0);
      acc[i][1] = mad(acc[i][1], ai, b1);
    }
  }
  for (int i = 0; i < kM; ++i) {
    store(c + i * ldc, acc[i][0]);
    store(c + i * ldc + kLanes, acc[i][1]);
  }
}

template <int kM>
inline void gemm_rows(int m, int k, const uint32_t* a, int64_t lda, const uint32_t* b, int64_t row_stride,
                      float* c, int64_t ldc, bool accumulate) {
  if (m == kM) {
    gemm_tile<kM>(k, a, lda, b, row_stride, c, ldc, accumulate);
  } else if constexpr (kM > 1) {
    gemm_rows<kM - 1>(m, k, a, lda, b, row_stride, c, ldc, accumulate);
  }
}

void gemm(int m, int n, int k, const uint32_t* a, int64_t lda, const uint32_t* b, int64_t panel_stride,
          int64_t row_stride, float* c, int64_t ldc, bool accumulate) {
  for (int column = 0; column < n; column += kPanel) {
    const uint32_t* panel = b + column / kPanel * panel_stride;
    int row = 0;
    for (; row + kRows <= m; row += kRows) {
      gemm_tile<kRows>(k, a + row * lda, lda, panel, row_stride, c + row * ldc + column, ldc, accumulate);
    }
    if (row < m) {
      gemm_rows<kRows - 1>(m - row, k, a + row * lda, lda, panel, row_stride, c + row * ldc + column, ldc,
                           accumulate);
    }
  }
}

inline float row_max(const float* s, int64_t n) {
  int64_t i = 0;
  float best = -__builtin_inff();
  if (n >= kLanes) {
    Vec m = load(s);
    for (i = kLanes; i + kLanes <= n; i += kLanes) m = vmax(m, load(s + i));
    best = reduce_max(m);
  }
  for (; i < n; ++i) best = s[i] > best ? s[i] : best;
  return best;
}

void softmax_step(const float* s, int n, float scale, float* max, float* sum, uint32_t* p, float* o, int d) {
  const float previous = *max;
  const float block = row_max(s, n);
  const float now = block > previous ? block : previous;
  const float factor = scale * kLog2e;
  const Vec vfactor = set1(factor);
  const Vec offset = set1(-now * factor);
  Vec total = set1(0);
  for (int i = 0; i < n; i += kLanes) {  // n is a multiple of the panel
    const Vec e = exp2_vec(fma(load(s + i), vfactor, offset));
    total = add(total, e);
#if CLAA_BF16_DOT
    store_bf16(reinterpret_cast<uint16_t*>(p) + i, e);
#else
    store(reinterpret_cast<float*>(p) + i, e);
#endif
  }
  if (now == previous) {
    *sum += reduce_add(total);
    return;
  }
  const float keep = previous == -__builtin_inff() ? 0.0f : exp2_one((previous - now) * factor);
  *sum = *sum * keep + reduce_add(total);
  *max = now;
  const Vec vkeep = set1(keep);
  for (int i = 0; i < d; i += kLanes) store(o + i, mul(load(o + i), vkeep));  // d is padded to the panel
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

void add_scaled_bf16(const uint16_t* x, int64_t n, float factor, float* y) {
  const Vec f = set1(factor);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, fma(load_bf16(x + i), f, load(y + i)));
  for (; i < n; ++i) y[i] += factor * widen_bf16(x[i]);
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

void swiglu(const float* gate, const float* up, int64_t n, void* out, bool bf16) {
  const Vec one = set1(1.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec g = load(gate + i);
    const Vec e = exp2_vec(mul(g, set1(-kLog2e)));
    put(out, bf16, i, mul(div(g, add(one, e)), load(up + i)));
  }
  for (; i < n; ++i) put_one(out, bf16, i, gate[i] / (1.0f + exp2_one(-kLog2e * gate[i])) * up[i]);
}

void rope_head(const float* x, const float* cos, const float* sin, int64_t half, bool interleaved, void* out,
               bool bf16) {
  int64_t i = 0;
  if (!interleaved) {
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

void to_f32(const uint16_t* x, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load_bf16(x + i));
  for (; i < n; ++i) out[i] = widen_bf16(x[i]);
}

}  // namespace CLAA_NAMESPACE

const Kernels CLAA_KERNELS = {
    CLAA_NAME,
    CLAA_NAMESPACE::kPanel,
    CLAA_BF16_DOT != 0,
    CLAA_NAMESPACE::gemm,
    CLAA_NAMESPACE::softmax_step,
    CLAA_NAMESPACE::exp_row,
    CLAA_NAMESPACE::add_scaled,
    CLAA_NAMESPACE::dot_f32,
    CLAA_NAMESPACE::dot_bf16,
    CLAA_NAMESPACE::add_scaled_bf16,
    CLAA_NAMESPACE::rms_norm,
    CLAA_NAMESPACE::swiglu,
    CLAA_NAMESPACE::rope_head,
    CLAA_NAMESPACE::to_bf16,
    CLAA_NAMESPACE::to_f32,
};

}  // namespace claa::cpu
