// Vector primitives and what is made of them alone, included inside the namespace of every instruction set by
// kernels_impl.h and int_kernels_impl.h. No include guard for the same reason; <immintrin.h>, <stdint.h> and
// <string.h> are included outside.

#if defined(__AVX512F__)
using Vec = __m512;
constexpr int kLanes = 16;
constexpr int kRows = 12;  // 12 x 2 accumulators + 2 operands of 32 registers
constexpr int kWide = 2;   // panels at once where the other factor is in the first cache: 6 x 4 accumulators
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
inline Vec scale_pow2(Vec v, Vec n) {  // v * 2^n
  return _mm512_scalef_ps(v, n);
}
inline bool any_above(Vec a, Vec b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0;
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
#if defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
#else
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
#endif
}
// Rotates the pairs (x, y) of v, with one c and one s per pair: (x c - y s, x s + y c).
inline Vec rotate_pairs(Vec v, const float* c, const float* s) {
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const Vec cos = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(c)));
  const Vec sin = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(s)));
  return _mm512_fmaddsub_ps(v, cos, _mm512_mul_ps(_mm512_permute_ps(v, 0xb1), sin));
}
#else
using Vec = __m256;
constexpr int kLanes = 8;
constexpr int kRows = 6;  // 6 x 2 accumulators + 2 operands + 1 broadcast of 16 registers
constexpr int kWide = 1;  // 3 x 4 accumulators and their operands would not fit
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
inline Vec scale_pow2(Vec v, Vec n) {  // v * 2^n
  return _mm256_mul_ps(v, pow2i(n));
}
inline bool any_above(Vec a, Vec b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0;
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
// The two bf16 values of every 32-bit unit, as f32.
inline Vec lower_bf16(Vec pairs) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pairs), 16));
}
inline Vec upper_bf16(Vec pairs) {
  return _mm256_and_ps(pairs, _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}
// Rotates the pairs (x, y) of v, with one c and one s per pair: (x c - y s, x s + y c).
inline Vec rotate_pairs(Vec v, const float* c, const float* s) {
  const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
  const Vec cos = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(c)), twice);
  const Vec sin = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(s)), twice);
  return _mm256_fmaddsub_ps(v, cos, _mm256_mul_ps(_mm256_permute_ps(v, 0xb1), sin));
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
// 2^x for kUnseen <= x <= 127, relative error 1e-4, 5e-6 on average (degree 3, Chebyshev nodes of [-1/2,
// 1/2]), for what is rounded to 8 bits or to bf16; what lies below 2^-126 may be zero.
inline Vec exp2_short(Vec x) {
#if !defined(__AVX512F__)
  x = vmax(x, set1(-127.0f));  // scale_pow2's range
#endif
  const Vec n = round_nearest(x);
  const Vec f = sub(x, n);
  Vec p = set1(5.5838283e-2f);
  p = fma(p, f, set1(2.4263948e-1f));
  p = fma(p, f, set1(6.9313673e-1f));
  p = fma(p, f, set1(9.9992456e-1f));
  return scale_pow2(p, n);
}
// 1 / x for what is rounded to bf16: relative error below 2^-14.
inline Vec reciprocal_short(Vec x) {
#if defined(__AVX512F__)
  return _mm512_rcp14_ps(x);
#else
  return div(set1(1.0f), x);
#endif
}
inline float exp2_one(float x) {
  return first_lane(exp2_vec(set1(x)));
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

// Elements of an array of f32 or bf16.
inline Vec load_as(const void* x, bool bf16, int64_t i) {
  return bf16 ? load_bf16(static_cast<const uint16_t*>(x) + i) : load(static_cast<const float*>(x) + i);
}
inline float one_as(const void* x, bool bf16, int64_t i) {
  return bf16 ? widen_bf16(static_cast<const uint16_t*>(x)[i]) : static_cast<const float*>(x)[i];
}
