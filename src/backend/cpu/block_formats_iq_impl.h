// The block formats whose numbers are points of a grid, four or eight neighbours by one index, as vectors:
// see block_formats_impl.h. Grids are read by address alone: a function of std::array that the compiler keeps
// would be one of this instruction set for the whole program.

using Bytes = const uint8_t*;
const Bytes kPointsIq2Xxs = reinterpret_cast<Bytes>(&gguf::kGridIq2Xxs);
const Bytes kPointsIq2Xs = reinterpret_cast<Bytes>(&gguf::kGridIq2Xs);
const Bytes kPointsIq2S = reinterpret_cast<Bytes>(&gguf::kGridIq2S);
const Bytes kPointsIq3Xxs = reinterpret_cast<Bytes>(&gguf::kGridIq3Xxs);
const Bytes kPointsIq3S = reinterpret_cast<Bytes>(&gguf::kGridIq3S);
const Bytes kPointsIq1 = reinterpret_cast<Bytes>(&gguf::kGridIq1);

inline uint64_t long_at(const uint8_t* p) {
  uint64_t bits;
  memcpy(&bits, p, sizeof(bits));
  return bits;
}
// Four points of eight numbers.
inline __m256i four_points(Bytes grid, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  const auto point = [grid](uint32_t index) { return static_cast<int64_t>(long_at(grid + 8 * index)); };
  return _mm256_setr_epi64x(point(a), point(b), point(c), point(d));
}
// Eight points of four numbers: the low bits of their indices are bytes, the ninth those of `high`.
inline __m256i eight_points(Bytes grid, const uint8_t* low, uint32_t high) {
  const auto point = [&](int i) {
    const uint32_t index = low[i] | (high >> i & 1u) << 8;
    return static_cast<int>(word_at(grid + 4 * index));
  };
  return _mm256_setr_epi32(point(0), point(1), point(2), point(3), point(4), point(5), point(6), point(7));
}
// `minus` is -1 where a number gets a minus, else 0.
inline __m256i with_signs(__m256i numbers, __m256i minus) {
  return _mm256_sub_epi8(_mm256_xor_si256(numbers, minus), minus);
}
// For every seven signs, as with_signs() takes them, these and the eighth, which makes their number even.
struct EvenSigns {
  int8_t minus[128][8];
};
constexpr EvenSigns all_even_signs() {
  EvenSigns signs{};
  for (int seven = 0; seven < 128; ++seven) {
    for (int i = 0; i < 7; ++i) {
      if ((seven >> i & 1) == 0) continue;
      signs.minus[seven][i] = -1;
      signs.minus[seven][7] = static_cast<int8_t>(-1 - signs.minus[seven][7]);
    }
  }
  return signs;
}
alignas(64) constexpr EvenSigns kEvenSigns = all_even_signs();
inline __m256i even_signs(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return four_points(reinterpret_cast<Bytes>(&kEvenSigns), a, b, c, d);
}
// The same of the lowest 28 bits.
inline __m256i even_signs_of(uint32_t bits) {
  return even_signs(bits & 127, bits >> 7 & 127, bits >> 14 & 127, bits >> 21 & 127);
}
// s[i] = d * (2 n[i] + 1) of eight integers.
inline void odd_scales(float d, __m256i n, float* s) {
  const __m256i odd = _mm256_add_epi32(_mm256_add_epi32(n, n), _mm256_set1_epi32(1));
  _mm256_storeu_ps(s, _mm256_mul_ps(_mm256_set1_ps(d), _mm256_cvtepi32_ps(odd)));
}
// The same of the 16 nibbles of eight bytes.
inline void odd_scales_of_nibbles(float d, const uint8_t* p, float* s) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  const __m128i n = _mm_and_si128(_mm_unpacklo_epi8(bytes, _mm_srli_epi16(bytes, 4)), _mm_set1_epi8(15));
  sixteen_scales(d, _mm_add_epi8(_mm_add_epi8(n, n), _mm_set1_epi8(1)), s);
}

// Scales are d * (n + 1 / 2) / 4, which is exact.
struct IQ2_XXS : Format<66, 8, true, false, false> {
  static void scales(const uint8_t* b, float* s, float*) {  // the highest nibbles of every second word
    const __m256 first = _mm256_castsi256_ps(bytes_at(b + 2)), second = _mm256_castsi256_ps(bytes_at(b + 34));
    const __m256i words = _mm256_castps_si256(_mm256_shuffle_ps(first, second, 0xdd));
    odd_scales(half_at(b) * 0.125f, _mm256_srli_epi32(_mm256_permute4x64_epi64(words, 0xd8), 28), s);
  }
  static __m256i values(const uint8_t* b, int g) {
    const uint8_t* p = b + 2 + 8 * g;
    return with_signs(four_points(kPointsIq2Xxs, p[0], p[1], p[2], p[3]), even_signs_of(word_at(p + 4)));
  }
};
struct IQ2_XS : Format<74, 8, true, false, true> {
  static void scales(const uint8_t* b, float* s, float*) {
    odd_scales_of_nibbles(half_at(b) * 0.125f, b + 66, s);
  }
  static __m256i values(const uint8_t* b, int g) {
    const uint8_t* p = b + 2 + 8 * g;
    const uint32_t words[4] = {short_at(p), short_at(p + 2), short_at(p + 4), short_at(p + 6)};
    const __m256i points =
        four_points(kPointsIq2Xs, words[0] & 511, words[1] & 511, words[2] & 511, words[3] & 511);
    return with_signs(points, even_signs(words[0] >> 9, words[1] >> 9, words[2] >> 9, words[3] >> 9));
  }
};
struct IQ2_S : Format<82, 8, true, false, true> {
  static void scales(const uint8_t* b, float* s, float*) {
    odd_scales_of_nibbles(half_at(b) * 0.125f, b + 74, s);
  }
  static __m256i values(const uint8_t* b, int g) {
    const uint8_t* low = b + 2 + 4 * g;
    const uint32_t high = b[66 + g];
    const auto index = [&](int i) { return low[i] | (high >> (2 * i) & 3u) << 8; };
    return with_signs(four_points(kPointsIq2S, index(0), index(1), index(2), index(3)),
                      bytes_of_bits(word_at(b + 34 + 4 * g)));
  }
};
// Scales are d * (n + 1 / 2) / 2.
struct IQ3_XXS : Format<98, 8, true, false, false> {
  static void scales(const uint8_t* b, float* s, float*) {
    odd_scales(half_at(b) * 0.25f, _mm256_srli_epi32(bytes_at(b + 66), 28), s);
  }
  static __m256i values(const uint8_t* b, int g) {
    return with_signs(eight_points(kPointsIq3Xxs, b + 2 + 8 * g, 0), even_signs_of(word_at(b + 66 + 4 * g)));
  }
};
struct IQ3_S : Format<110, 8, true, false, false> {
  static void scales(const uint8_t* b, float* s, float*) {
    odd_scales(half_at(b), eight_nibbles(b + 106), s);
  }
  static __m256i values(const uint8_t* b, int g) {
    return with_signs(eight_points(kPointsIq3S, b + 2 + 8 * g, b[66 + g]),
                      bytes_of_bits(word_at(b + 74 + 4 * g)));
  }
};

// IQ1 moves points of -1, 0 and 1 by an eighth, up or where `down` is -1 down: numbers and scales are of
// eighths.
inline __m256i moved_points(__m256i points, __m256i down) {
  const __m256i eights = _mm256_and_si256(_mm256_slli_epi16(points, 3), _mm256_set1_epi8(-8));
  return _mm256_add_epi8(eights, _mm256_or_si256(down, _mm256_set1_epi8(1)));
}
struct IQ1_S : Format<50, 8, true, false, false> {
  static void scales(const uint8_t* b, float* s, float*) {
    const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 34)));
    odd_scales(half_at(b) * 0.125f, _mm256_and_si256(_mm256_srli_epi32(words, 12), _mm256_set1_epi32(7)), s);
  }
  static __m256i values(const uint8_t* b, int g) {
    const uint8_t* low = b + 2 + 4 * g;
    const uint32_t word = short_at(b + 34 + 2 * g);
    const auto index = [&](int i) { return low[i] | (word >> (3 * i) & 7u) << 8; };
    return moved_points(four_points(kPointsIq1, index(0), index(1), index(2), index(3)),
                        _mm256_srai_epi16(_mm256_set1_epi16(static_cast<int16_t>(word)), 15));
  }
};
// The highest nibbles of four words are the block's scale; below are scales of three bits.
struct IQ1_M : Format<56, 8, true, false, true> {
  static void scales(const uint8_t* b, float* s, float*) {
    const uint32_t words[4] = {short_at(b + 48), short_at(b + 50), short_at(b + 52), short_at(b + 54)};
    const float d =
        half_of(words[0] >> 12 | words[1] >> 12 << 4 | words[2] >> 12 << 8 | words[3] >> 12 << 12);
    for (int i = 0; i < 4; i += 2) {
      const __m256i two = _mm256_set_m128i(_mm_set1_epi32(static_cast<int>(words[i + 1])),
                                           _mm_set1_epi32(static_cast<int>(words[i])));
      const __m256i n = _mm256_srlv_epi32(two, _mm256_setr_epi32(0, 3, 6, 9, 0, 3, 6, 9));
      odd_scales(d * 0.125f, _mm256_and_si256(n, _mm256_set1_epi32(7)), s + 4 * i);
    }
  }
  static __m256i values(const uint8_t* b, int g) {
    const uint8_t* low = b + 4 * g;
    const uint32_t high = short_at(b + 32 + 2 * g);
    const auto index = [&](int i) { return low[i] | (high >> (4 * i) & 7u) << 8; };
    const __m256i bits = _mm256_setr_epi64x(0x0008000800080008, 0x0080008000800080, 0x0800080008000800,
                                            static_cast<int64_t>(0x8000800080008000u));
    const __m256i nibbles = _mm256_set1_epi16(static_cast<int16_t>(high));
    return moved_points(four_points(kPointsIq1, index(0), index(1), index(2), index(3)),
                        _mm256_cmpeq_epi16(_mm256_and_si256(nibbles, bits), bits));
  }
};
