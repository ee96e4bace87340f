// Kernel bodies of blocks, included once per instruction set by block_kernels_*.cc with CLAA_KERNELS (table
// name), CLAA_NAMESPACE, CLAA_NAME and CLAA_DOT8 (eight sums of four products of unsigned a and signed b)
// set. No include guard: every inclusion is another namespace. Vectors have 256 bits everywhere: decoding
// waits for memory.

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "backend/cpu/block_kernels.h"
#include "gguf/iq_grids.h"

namespace claa::cpu {
namespace CLAA_NAMESPACE {

#include "backend/cpu/block_formats_impl.h"
#include "backend/cpu/block_formats_iq_impl.h"

inline float sum_of_lanes(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

// Products of 32 weights and activations, as eight sums of four. Pairs of products stay within 16 bits: a
// weight is at most 128 and an activation at most 127.
template <bool kSigned>
inline __m256 products(__m256i weights, __m256i magnitudes, __m256i x) {
  return _mm256_cvtepi32_ps(kSigned ? CLAA_DOT8(magnitudes, _mm256_sign_epi8(x, weights))
                                    : CLAA_DOT8(weights, x));
}

// The sums of one row of activations with one row of blocks.
struct RowSums {
  __m256 even, odd;     // of even and odd groups
  __m256 minima;        // what is taken away, of formats with eight groups
  float single_minima;  // the same of formats with one
};

// True if something is taken away from the sum of a group: a minimum for each value, or the offset.
template <class F>
constexpr bool has_minima() {
  return F::kMinima || F::kOffset != 0;
}

// What each group's sum is multiplied by: a weight's scale times the activations'.
template <class F>
inline void block_factors(const float* s, const float* m, const float* scales, const float* sums,
                          const float* halves, RowSums& to, float* factors) {
  if constexpr (F::kGroups == 1) {
    *factors = *s * *scales;
    if constexpr (has_minima<F>()) to.single_minima += *m * *sums;
  } else if constexpr (F::kGroups == 2) {  // of halves
    for (int half = 0; half < 4; ++half) factors[half] = s[half] * scales[half / 2];
  } else if constexpr (F::kHalves) {
    const __m256 x = _mm256_loadu_ps(scales);
    const __m256i low = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3),
                  high = _mm256_add_epi32(low, _mm256_set1_epi32(4));
    _mm256_storeu_ps(factors, _mm256_mul_ps(_mm256_loadu_ps(s), _mm256_permutevar8x32_ps(x, low)));
    _mm256_storeu_ps(factors + 8, _mm256_mul_ps(_mm256_loadu_ps(s + 8), _mm256_permutevar8x32_ps(x, high)));
    if constexpr (has_minima<F>()) {
      to.minima = _mm256_fmadd_ps(_mm256_loadu_ps(m), _mm256_loadu_ps(halves), to.minima);
      to.minima = _mm256_fmadd_ps(_mm256_loadu_ps(m + 8), _mm256_loadu_ps(halves + 8), to.minima);
    }
  } else {
    _mm256_storeu_ps(factors, _mm256_mul_ps(_mm256_loadu_ps(s), _mm256_loadu_ps(scales)));
    if constexpr (has_minima<F>())
      to.minima = _mm256_fmadd_ps(_mm256_loadu_ps(m), _mm256_loadu_ps(sums), to.minima);
  }
}

template <class F>
inline __m256 factor_of(const float* factors, int group) {
  if constexpr (!F::kHalves) return _mm256_broadcast_ss(factors + group);
  return _mm256_set_m128(_mm_broadcast_ss(factors + 2 * group + 1), _mm_broadcast_ss(factors + 2 * group));
}

// Asks for the memory of a block long before it is read: of rows that follow each other CPUs fetch too little
// by themselves while they are busy with unpacking.
template <class F>
inline void fetch_ahead(const uint8_t* block) {
  constexpr int kAhead = 2048, kLine = 64;
  for (int line = 0; line < F::kBytes; line += kLine)
    _mm_prefetch(reinterpret_cast<const char*>(block + kAhead + line), _MM_HINT_T0);
}

// The factors of `count` blocks that follow each other, of which `first` is the first group.
template <class F, int kRows, int kFactors>
inline void factors_of_blocks(const uint8_t* blocks, int count, const RoundedRows& x, int row, int64_t first,
                              RowSums (&sums)[kRows], float (&factors)[kRows][kFactors]) {
  constexpr int kOfBlock = F::kGroups * (F::kHalves ? 2 : 1);
  const int64_t groups = x.inputs / kRoundedGroup;
  for (int i = 0; i < count; ++i, blocks += F::kBytes, first += F::kGroups) {
    alignas(32) float s[16], m[16];
    fetch_ahead<F>(blocks);
    F::scales(blocks, s, m);
    if constexpr (F::kOffset != 0) {
      for (int j = 0; j < kOfBlock; ++j) m[j] = s[j] * F::kOffset;
    }
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = (row + r) * groups + first;
      block_factors<F>(s, m, x.scales + at, x.sums + at, x.halves + 2 * at, sums[r],
                       factors[r] + i * kOfBlock);
    }
  }
}

// The groups [first, end) of a row of blocks, which begins at `blocks`. The factors of some blocks are
// computed before their products, which then are a short chain of instructions.
template <class F, int kRows>
inline void dot_groups(const uint8_t* blocks, const RoundedRows& x, int row, int64_t first, int64_t end,
                       RowSums (&sums)[kRows]) {
  constexpr int kBlocks = 4, kOfBlock = F::kGroups * (F::kHalves ? 2 : 1);
  blocks += first / F::kGroups * F::kBytes;
  while (first < end) {
    alignas(32) float factors[kRows][kBlocks * kOfBlock];
    const int64_t left = (end - first) / F::kGroups;
    const int count = left < kBlocks ? static_cast<int>(left) : kBlocks;
    factors_of_blocks<F>(blocks, count, x, row, first, sums, factors);
    for (int i = 0; i < count; ++i, blocks += F::kBytes, first += F::kGroups) {
#pragma GCC unroll 8
      for (int g = 0; g < F::kGroups; ++g) {
        const __m256i weights = F::values(blocks, g);
        const __m256i magnitudes = F::kSigned ? _mm256_abs_epi8(weights) : weights;
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          const int8_t* values = x.values + (row + r) * x.inputs + (first + g) * kRoundedGroup;
          const __m256 sum = products<F::kSigned>(
              weights, magnitudes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values)));
          __m256& to = g % 2 == 0 ? sums[r].even : sums[r].odd;
          to = _mm256_fmadd_ps(sum, factor_of<F>(factors[r] + i * kOfBlock, g), to);
        }
      }
    }
  }
}

template <class F, int kRows>
inline void dot_rows(const uint8_t* blocks, const RoundedRows& x, int row, float* out, int64_t stride) {
  const int64_t groups = x.inputs / kRoundedGroup;
  RowSums sums[kRows];
  for (RowSums& one : sums) one = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), 0};
  if constexpr (F::kGroups < 8) {
    dot_groups<Eight<F>>(blocks, x, row, 0, groups / 8 * 8, sums);
    dot_groups<F>(blocks, x, row, groups / 8 * 8, groups, sums);
  } else {
    dot_groups<F>(blocks, x, row, 0, groups, sums);
  }
  for (int r = 0; r < kRows; ++r) {
    float total = sum_of_lanes(_mm256_add_ps(sums[r].even, sums[r].odd));
    if constexpr (has_minima<F>()) total -= sum_of_lanes(sums[r].minima) + sums[r].single_minima;
    out[(row + r) * stride] = total;
  }
}

// The same with weights of 16 bits.
template <class F, int kRows>
inline void dot_floats(const uint8_t* weights, const RoundedRows& x, int row, float* out, int64_t stride) {
  const int64_t groups = x.inputs / kRoundedGroup;
  __m256 totals[kRows];
  for (__m256& total : totals) total = _mm256_setzero_ps();
  for (int64_t group = 0; group < groups; ++group) {
    __m256 sums[kRows];
    for (__m256& sum : sums) sum = _mm256_setzero_ps();
    fetch_ahead<F>(weights + group * F::kBytes);
#pragma GCC unroll 4
    for (int64_t i = group * kRoundedGroup; i < (group + 1) * kRoundedGroup; i += 8) {
      const __m256 weight = F::floats(weights + 2 * i);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const int8_t* values = x.values + (row + r) * x.inputs + i;
        const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(values));
        sums[r] = _mm256_fmadd_ps(weight, eight_signed_floats(eight), sums[r]);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      const __m256 scale = _mm256_broadcast_ss(x.scales + (row + r) * groups + group);
      totals[r] = _mm256_fmadd_ps(sums[r], scale, totals[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) out[(row + r) * stride] = sum_of_lanes(totals[r]);
}

template <class F, int kRows>
inline void dot_any(const uint8_t* blocks, const RoundedRows& x, int row, float* out, int64_t stride) {
  if constexpr (F::kGroups == 0) {
    dot_floats<F, kRows>(blocks, x, row, out, stride);
  } else {
    dot_rows<F, kRows>(blocks, x, row, out, stride);
  }
}

template <class F>
void dots(const uint8_t* blocks, const RoundedRows& x, int rows, float* out, int64_t stride) {
  int row = 0;
  for (; row + 4 <= rows; row += 4) dot_any<F, 4>(blocks, x, row, out, stride);
  if (row + 2 <= rows) dot_any<F, 2>(blocks, x, row, out, stride), row += 2;
  if (row < rows) dot_any<F, 1>(blocks, x, row, out, stride);
}

template <class F>
inline void widen_blocks(const uint8_t* blocks, int64_t n, float* out) {
  for (int64_t i = 0; i < n; i += F::kGroups * kRoundedGroup, blocks += F::kBytes) {
    alignas(32) float s[16], m[16];
    F::scales(blocks, s, m);
#pragma GCC unroll 8
    for (int g = 0; g < F::kGroups; ++g) {
      const __m256i numbers = F::values(blocks, g);
      const __m128i low = _mm256_castsi256_si128(numbers), high = _mm256_extracti128_si256(numbers, 1);
      const __m128i eights[4] = {low, _mm_srli_si128(low, 8), high, _mm_srli_si128(high, 8)};
#pragma GCC unroll 4
      for (int e = 0; e < 4; ++e) {
        const int scale = F::kHalves ? 2 * g + e / 2 : g;
        __m256 number = F::kSigned ? eight_signed_floats(eights[e]) : eight_floats(eights[e]);
        if constexpr (F::kOffset != 0) number = _mm256_sub_ps(number, _mm256_set1_ps(F::kOffset));
        __m256 value = _mm256_mul_ps(_mm256_broadcast_ss(s + scale), number);
        if constexpr (F::kMinima) value = _mm256_sub_ps(value, _mm256_broadcast_ss(m + scale));
        _mm256_storeu_ps(out + i + g * kRoundedGroup + 8 * e, value);
      }
    }
  }
}

template <class F>
inline void widen_floats(const uint8_t* weights, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, F::floats(weights + 2 * i));
  if (i == n) return;
  uint8_t rest[16] = {};
  float values[8];
  memcpy(rest, weights + 2 * i, static_cast<size_t>(2 * (n - i)));
  _mm256_storeu_ps(values, F::floats(rest));
  memcpy(out + i, values, static_cast<size_t>(n - i) * sizeof(float));
}

template <class F>
void widen(const uint8_t* blocks, int64_t n, float* out) {
  if constexpr (F::kGroups == 0) {
    widen_floats<F>(blocks, n, out);
  } else if constexpr (F::kGroups < 8) {
    const int64_t eights = n / (8 * kRoundedGroup);
    widen_blocks<Eight<F>>(blocks, eights * 8 * kRoundedGroup, out);
    widen_blocks<F>(blocks + eights * Eight<F>::kBytes, n - eights * 8 * kRoundedGroup,
                    out + eights * 8 * kRoundedGroup);
  } else {
    widen_blocks<F>(blocks, n, out);
  }
}

// Of n values, a multiple of 32, in four chains: one would take longer to wait than to compare.
inline float largest_magnitude(const float* x, int64_t n) {
  __m256 best[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int64_t i = 0; i < n; i += kRoundedGroup) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      best[j] =
          _mm256_max_ps(best[j], _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_loadu_ps(x + i + 8 * j)));
  }
  const __m256 all = _mm256_max_ps(_mm256_max_ps(best[0], best[1]), _mm256_max_ps(best[2], best[3]));
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ss(most, _mm_shuffle_ps(most, most, 1)));
}

// 32 integers of 16 bits and less, as they follow each other.
inline __m256i in_order(const __m256i (&q)[4]) {
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  // Packing works within each half of a vector.
  return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

void round(const float* x, int64_t n, int8_t* values, float* scales) {
  for (int64_t i = 0; i < n; i += kRoundedGroup) {
    const float largest = largest_magnitude(x + i, kRoundedGroup);
    const __m256 inverse = _mm256_set1_ps(largest > 0 ? 127.0f / largest : 0);
    scales[i / kRoundedGroup] = largest / 127.0f;
    __m256i q[4];
    for (int j = 0; j < 4; ++j)
      q[j] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8 * j), inverse));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + i), in_order(q));
  }
}

void to_eight_bits(const float* x, int64_t n, int64_t group, int8_t* values, float* scales, int32_t* sums) {
  const __m256i middle = _mm256_set1_epi8(-128);
  for (int64_t first = 0; first < n; first += group) {
    const int64_t end = first + group < n ? first + group : n;
    const float largest = largest_magnitude(x + first, end - first);
    const __m256 inverse = _mm256_set1_ps(largest > 0 ? 127.0f / largest : 0);
    scales[first / group] = largest / 127.0f;
    __m256i sum = _mm256_setzero_si256();  // of values plus 128
    for (int64_t i = first; i < end; i += kRoundedGroup) {
      __m256i q[4];
      for (int j = 0; j < 4; ++j) {
        // Rounded where 128 is added, as IntKernels::quantize does.
        const __m256 shifted =
            _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 8 * j), inverse, _mm256_set1_ps(128.0f));
        q[j] = _mm256_sub_epi32(_mm256_cvtps_epi32(shifted), _mm256_set1_epi32(128));
      }
      const __m256i v = in_order(q);
      sum = _mm256_add_epi64(sum, _mm256_sad_epu8(_mm256_xor_si256(v, middle), _mm256_setzero_si256()));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + i), v);
    }
    const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    const int total = _mm_cvtsi128_si32(_mm_add_epi64(two, _mm_unpackhi_epi64(two, two)));
    sums[first / group] = total - 128 * static_cast<int>(end - first);
  }
}

void round_to_bf16(float* x, int64_t n) {
#pragma GCC unroll 4
  for (int64_t i = 0; i < n; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(x + i),
                        _mm256_and_si256(rounded, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }
}

void sum(const int8_t* values, const float* scales, int64_t n, float* sums, float* halves) {
  for (int64_t g = 0; g < n / kRoundedGroup; ++g) {
    int parts[2] = {0, 0};
    for (int i = 0; i < kRoundedGroup; ++i) parts[i / kRoundedHalf] += values[g * kRoundedGroup + i];
    for (int half = 0; half < 2; ++half) halves[2 * g + half] = scales[g] * static_cast<float>(parts[half]);
    sums[g] = scales[g] * static_cast<float>(parts[0] + parts[1]);
  }
}

// Eight rows of eight units.
inline void transpose_eight(const uint32_t* from, int64_t stride, uint32_t* to, int64_t width) {
  __m256 r[8], t[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(reinterpret_cast<const float*>(from + i * stride));
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    const int at = 4 * i;
    r[at] = _mm256_shuffle_ps(t[at], t[at + 2], 0x44);
    r[at + 1] = _mm256_shuffle_ps(t[at], t[at + 2], 0xee);
    r[at + 2] = _mm256_shuffle_ps(t[at + 1], t[at + 3], 0x44);
    r[at + 3] = _mm256_shuffle_ps(t[at + 1], t[at + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    float* rows = reinterpret_cast<float*>(to + i * width);
    _mm256_storeu_ps(rows, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(rows + 4 * width, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

void transpose(const uint32_t* from, int64_t stride, int64_t width, int64_t units, uint32_t* to) {
  int64_t unit = 0;
  for (; unit + 8 <= units; unit += 8) {
    for (int64_t row = 0; row < width; row += 8)
      transpose_eight(from + row * stride + unit, stride, to + unit * width + row, width);
  }
  for (; unit < units; ++unit) {
    for (int64_t row = 0; row < width; ++row) to[unit * width + row] = from[row * stride + unit];
  }
}

// In the order of BlockFormat.
#define CLAA_FORMATS(kernel)                                                                          \
  {                                                                                                   \
    kernel<Q8_0>, kernel<Q4_0>, kernel<Q4_1>, kernel<Q5_0>, kernel<Q5_1>, kernel<Q2_K>, kernel<Q3_K>, \
        kernel<Q4_K>, kernel<Q5_K>, kernel<Q6_K>, kernel<IQ4_NL>, kernel<IQ4_XS>, kernel<MXFP4>,      \
        kernel<NVFP4>, kernel<TQ1_0>, kernel<TQ2_0>, kernel<IQ1_S>, kernel<IQ1_M>, kernel<IQ2_XXS>,   \
        kernel<IQ2_XS>, kernel<IQ2_S>, kernel<IQ3_XXS>, kernel<IQ3_S>, kernel<F16>, kernel<BF16>      \
  }

constexpr BlockKernels kKernels = {
    CLAA_NAME, round, sum, CLAA_FORMATS(dots), CLAA_FORMATS(widen), to_eight_bits, round_to_bf16, transpose,
};

}  // namespace CLAA_NAMESPACE

const BlockKernels CLAA_KERNELS = CLAA_NAMESPACE::kKernels;

}  // namespace claa::cpu
