// Integer kernel bodies, included once per instruction set by int_kernels_*.cc with CLAA_KERNELS (table
// name), CLAA_NAMESPACE and CLAA_NAME set. No include guard: every inclusion is another namespace.

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "backend/cpu/int_kernels.h"
#include "backend/cpu/kernels.h"

namespace claa::cpu {
namespace CLAA_NAMESPACE {

#include "backend/cpu/vec_impl.h"

#if defined(__AVX512F__)
using IVec = __m512i;
inline IVec iload(const void* p) {
  return _mm512_loadu_si512(p);
}
inline void istore(void* p, IVec v) {
  _mm512_storeu_si512(p, v);
}
inline IVec iset1(int32_t x) {
  return _mm512_set1_epi32(x);
}
inline Vec to_float(IVec v) {
  return _mm512_cvtepi32_ps(v);
}
inline Vec vabs(Vec v) {
  return _mm512_abs_ps(v);
}
// acc += four products of unsigned a and signed b. In assembler, as g++ 12 copies every sum before and after
// the built-in functions, at half the speed.
inline IVec mad8(IVec acc, IVec a, IVec b) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}
inline void store_u8(uint8_t* p, Vec v) {  // of 0 to 255, rounded to nearest
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
#else
using IVec = __m256i;
inline IVec iload(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
inline void istore(void* p, IVec v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}
inline IVec iset1(int32_t x) {
  return _mm256_set1_epi32(x);
}
inline Vec to_float(IVec v) {
  return _mm256_cvtepi32_ps(v);
}
inline Vec vabs(Vec v) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}
// Even and odd bytes apart, as the instruction for bytes would saturate.
inline IVec mad8(IVec acc, IVec a, IVec b) {
  const IVec even = _mm256_madd_epi16(_mm256_and_si256(a, _mm256_set1_epi16(255)),
                                      _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
  const IVec odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
  return _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
}
inline __m128i narrow16(Vec v) {
  const __m256i n = _mm256_cvtps_epi32(v);
  return _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
}
inline void store_u8(uint8_t* p, Vec v) {
  const __m128i n = narrow16(v);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(n, n));
}
#endif

inline float largest_magnitude(const void* x, bool bf16, int64_t first, int64_t end) {
  Vec best = set1(0);
  int64_t i = first;
  for (; i + kLanes <= end; i += kLanes) best = vmax(best, vabs(load_as(x, bf16, i)));
  float largest = reduce_max(best);
  for (; i < end; ++i) {
    const float magnitude = __builtin_fabsf(one_as(x, bf16, i));
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

void quantize(const void* x, bool bf16, int64_t n, int64_t group, uint8_t* out, float* scales) {
  for (int64_t first = 0; first < n; first += group) {
    const int64_t end = first + group < n ? first + group : n;
    const float largest = largest_magnitude(x, bf16, first, end);
    const float inverse = largest > 0 ? 127.0f / largest : 0;
    scales[first / group] = largest / 127.0f;
    int64_t i = first;
    for (; i + kLanes <= end; i += kLanes) {
      store_u8(out + i, fma(load_as(x, bf16, i), set1(inverse), set1(128.0f)));
    }
    for (; i < end; ++i) {
      out[i] = static_cast<uint8_t>(_mm_cvtss_si32(_mm_set_ss(one_as(x, bf16, i) * inverse + 128.0f)));
    }
  }
  for (int64_t i = n; i % 4 != 0; ++i) out[i] = 128;
}

// acc[kM][2 * kPanels] += a[kM, k] b[k, panels], a and b in units of 32 bits; panels lie panel_stride apart.
template <int kM, int kPanels>
inline void multiply(int64_t k, const int32_t* a, int64_t lda, const int32_t* b, int64_t row_stride,
                     int64_t panel_stride, IVec (&acc)[kM][2 * kPanels]) {
  for (int64_t kk = 0; kk < k; ++kk) {
    IVec units[2 * kPanels];
#pragma GCC unroll 4
    for (int j = 0; j < 2 * kPanels; ++j) {
      units[j] = iload(b + kk * row_stride + j / 2 * panel_stride + j % 2 * kLanes);
    }
#pragma GCC unroll 12
    for (int i = 0; i < kM; ++i) {
      const IVec ai = iset1(a[i * lda + kk]);
#pragma GCC unroll 4
      for (int j = 0; j < 2 * kPanels; ++j) acc[i][j] = mad8(acc[i][j], ai, units[j]);
    }
  }
}

// Calls tile.run<rows>(first row) for m rows, kMost at once.
template <int kM, class Tile>
inline void last_rows(int row, int rest, const Tile& tile) {
  if (rest == kM) {
    tile.template run<kM>(row);
  } else if constexpr (kM > 1) {
    last_rows<kM - 1>(row, rest, tile);
  }
}
template <int kMost, class Tile>
inline void by_rows(int m, const Tile& tile) {
  int row = 0;
  for (; row + kMost <= m; row += kMost) tile.template run<kMost>(row);
  if (row < m) last_rows<kMost - 1>(row, m - row, tile);
}

struct LinearTile {
  int64_t units, groups;
  const int32_t* a;  // [m, units]
  const float* a_scales;
  const IntPanel& weight;
  float* c;
  int64_t ldc;
  bool accumulate;

  template <int kM>
  void run(int row) const {
    const int64_t group_units = weight.group / 4;
    const int32_t* b = reinterpret_cast<const int32_t*>(weight.units);
    // Sums of all groups but the last: rows of c may lie a power of two apart, which the first cache takes
    // badly.
    alignas(64) float sums[kM * kPanel];
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = g * group_units;
      const int64_t count = units - first < group_units ? units - first : group_units;
      IVec acc[kM][2];
#pragma GCC unroll 12
      for (int i = 0; i < kM; ++i) {
        acc[i][0] = iload(weight.offsets + g * kPanel);
        acc[i][1] = iload(weight.offsets + g * kPanel + kLanes);
      }
      multiply<kM, 1>(count, a + row * units + first, units, b + first * kPanel, kPanel, 0, acc);
      const bool last = g + 1 == groups;
      const Vec w0 = load(weight.scales + g * kPanel), w1 = load(weight.scales + g * kPanel + kLanes);
#pragma GCC unroll 12
      for (int i = 0; i < kM; ++i) {
        float* c_row = c + (row + i) * ldc;
        const Vec scale = set1(a_scales[(row + i) * groups + g]);
        Vec s0 = mul(to_float(acc[i][0]), mul(w0, scale)), s1 = mul(to_float(acc[i][1]), mul(w1, scale));
        if (g > 0) s0 = add(s0, load(sums + i * kPanel)), s1 = add(s1, load(sums + i * kPanel + kLanes));
        if (last && accumulate) s0 = add(s0, load(c_row)), s1 = add(s1, load(c_row + kLanes));
        float* to = last ? c_row : sums + i * kPanel;
        store(to, s0);
        store(to + kLanes, s1);
      }
    }
  }
};

void linear(int m, int64_t units, const uint8_t* a, const float* a_scales, const IntPanel& weight, float* c,
            int64_t ldc, bool accumulate) {
  const int64_t groups = (4 * units + weight.group - 1) / weight.group;
  by_rows<kRows>(m, LinearTile{units, groups, reinterpret_cast<const int32_t*>(a), a_scales, weight, c, ldc,
                               accumulate});
}

struct LogarithmTile {
  int k;
  const int32_t* a;  // [m, k]
  const int32_t* b;
  const float* factors;  // [m]
  IntKeys keys;
  float* t;
  int64_t ldt;

  template <int kM>
  void run(int row) const {
    IVec acc[kM][2];
#pragma GCC unroll 12
    for (int i = 0; i < kM; ++i) acc[i][0] = iload(keys.offset), acc[i][1] = iload(keys.offset + kLanes);
    multiply<kM, 1>(k, a + row * k, k, b, kPanel, 0, acc);
    const Vec s0 = load(keys.scale), s1 = load(keys.scale + kLanes);
    const Vec v0 = load(keys.log_value), v1 = load(keys.log_value + kLanes);
#pragma GCC unroll 12
    for (int i = 0; i < kM; ++i) {
      float* to = t + (row + i) * ldt;
      const Vec factor = set1(factors[row + i]);
      store(to, fma(to_float(acc[i][0]), mul(s0, factor), v0));
      store(to + kLanes, fma(to_float(acc[i][1]), mul(s1, factor), v1));
    }
  }
};

void logarithms(int m, int n, int k, const uint32_t* a, const uint32_t* b, const float* factors,
                const IntKeys& keys, float* t, int64_t ldt) {
  for (int column = 0; column < n; column += kPanel) {
    by_rows<kRows>(m, LogarithmTile{k,
                                    reinterpret_cast<const int32_t*>(a),
                                    reinterpret_cast<const int32_t*>(b + column * k),
                                    factors,
                                    {keys.offset + column, keys.scale + column, keys.log_value + column},
                                    t + column,
                                    ldt});
  }
}

template <int kPanels>
struct ProductTile {
  int k;
  const int32_t* a;
  int64_t lda;
  const int32_t* b;
  int64_t panel_stride, row_stride;
  const float* weight;
  float* c;
  int64_t ldc;

  template <int kM>
  void run(int row) const {
    constexpr int kVectors = 2 * kPanels;
    IVec acc[kM][kVectors];
#pragma GCC unroll 12
    for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) acc[i][j] = iset1(0);
    }
    multiply<kM, kPanels>(k, a + row * lda, lda, b, row_stride, panel_stride, acc);
#pragma GCC unroll 12
    for (int i = 0; i < kM; ++i) {
      const Vec w = set1(weight[row + i]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        float* to = c + (row + i) * ldc + j * kLanes;
        store(to, fma(to_float(acc[i][j]), w, load(to)));
      }
    }
  }
};

void add_products(int m, int n, int k, const uint32_t* a, int64_t lda, const uint32_t* b,
                  int64_t panel_stride, int64_t row_stride, const float* weight, float* c, int64_t ldc) {
  const auto* units = reinterpret_cast<const int32_t*>(a);
  const auto panel = [&](int column) {
    return reinterpret_cast<const int32_t*>(b + column / kPanel * panel_stride);
  };
  int column = 0;
  for (; column + kWide * kPanel <= n; column += kWide * kPanel) {
    by_rows<kRows / kWide>(m, ProductTile<kWide>{k, units, lda, panel(column), panel_stride, row_stride,
                                                 weight, c + column, ldc});
  }
  if (column < n) {
    by_rows<kRows>(
        m, ProductTile<1>{k, units, lda, panel(column), panel_stride, row_stride, weight, c + column, ldc});
  }
}

// The largest logarithm of a row that is seen; what is not seen is overwritten.
inline float block_maximum(float* t, int n, int64_t seen) {
  if (seen <= 0) return -__builtin_inff();
  for (int64_t i = seen; i < n; ++i) t[i] = kUnseen;
  Vec best = load(t);
  for (int i = kLanes; i < n; i += kLanes) best = vmax(best, load(t + i));
  return reduce_max(best);
}

// Probabilities of a row in 8 bits, relative to its largest; returns their sum, lane by lane.
inline Vec store_probabilities(const float* t, int n, float largest, const float* inverse_value, uint8_t* p) {
  constexpr float kLog2Max = 7.99435344f;  // log2(kMaxProbability)
  const Vec shift = set1(largest - kLog2Max);
  Vec total = set1(0);
  for (int i = 0; i < n; i += kLanes) {
    const Vec e = exp2_short(sub(load(t + i), shift));
    total = fma(e, load(inverse_value + i), total);
    store_u8(p + i, e);
  }
  return total;
}

// As many rows at a time as a vector has lanes: their maxima do not wait for each other.
void softmax_step(int m, float* t, int64_t ldt, int n, const int32_t* seen, const float* inverse_value,
                  const IntSums& sums, uint8_t* p, int64_t ldp) {
  for (int first = 0; first < m; first += kLanes) {
    const int rows = m - first < kLanes ? m - first : kLanes;
    float block[kLanes], previous[kLanes], keep[kLanes], weight[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      block[r] = r < rows ? block_maximum(t + (first + r) * ldt, n, seen[first + r]) : 0;
      previous[r] = r < rows ? sums.max[first + r] : 0;
    }
    const Vec now = vmax(load(block), load(previous));
    store(keep, exp2_vec(sub(load(previous), now)));
    store(weight, mul(exp2_vec(sub(load(block), now)), set1(1.0f / kMaxProbability)));
    store(previous, now);
    for (int r = 0; r < rows; ++r) {
      const int row = first + r;
      sums.weight[row] = weight[r];
      if (seen[row] <= 0) {
        memset(p + row * ldp, 0, static_cast<size_t>(n));
        continue;
      }
      const Vec total = store_probabilities(t + row * ldt, n, block[r], inverse_value, p + row * ldp);
      Vec all = load(sums.sum + row * kLanes);
      if (keep[r] != 1) {
        const Vec factor = set1(keep[r]);
        float* o = sums.o + row * sums.d;
        for (int i = 0; i < sums.d; i += kLanes) store(o + i, mul(load(o + i), factor));
        all = mul(all, factor);
        sums.max[row] = previous[r];
      }
      store(sums.sum + row * kLanes, fma(set1(weight[r]), total, all));
    }
  }
}

}  // namespace CLAA_NAMESPACE

const IntKernels CLAA_KERNELS = {
    CLAA_NAME,
    CLAA_NAMESPACE::kPanel,
    CLAA_NAMESPACE::quantize,
    CLAA_NAMESPACE::linear,
    CLAA_NAMESPACE::logarithms,
    CLAA_NAMESPACE::softmax_step,
    CLAA_NAMESPACE::add_products,
};

}  // namespace claa::cpu
