// The layout of each block format as vectors, but for those of grids (block_formats_iq_impl.h): included by
// block_kernels_impl.h inside the namespace of every instruction set, so that it has no include guard. A
// format says, for blocks of kGroups * 32 values:
//   scales(b, s, m): the scales of a block, one per 32 values or with kHalves one per 16, and with kMinima
//                    what is taken away from each group's values;
//   values(b, g):    the numbers of group g as bytes, with kSigned from -128 to 127, else from 0 to 127, from
//                    which kOffset is taken away.
// A value is s * (number - offset) - m, each step rounded to f32, as in gguf/quants.cc. Products of numbers
// without a sign are the faster ones; no format has an offset and minima. Formats of 16-bit floats have no
// groups: floats(p) gives eight neighbours as f32.

inline uint32_t short_at(const uint8_t* p) {
  uint16_t bits;
  memcpy(&bits, p, sizeof(bits));
  return bits;
}
inline float half_of(uint32_t bits) {
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(bits))));
}
inline float half_at(const uint8_t* p) {
  return half_of(short_at(p));
}
inline uint32_t word_at(const uint8_t* p) {
  uint32_t word;
  memcpy(&word, p, sizeof(word));
  return word;
}
inline __m256i bytes_at(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline __m256i bits_of(__m256i v, int shift, int mask) {
  return _mm256_and_si256(_mm256_srli_epi16(v, shift), _mm256_set1_epi8(static_cast<char>(mask)));
}
// 16 low nibbles, then 16 high ones.
inline __m256i nibbles_at(const uint8_t* p) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}
// Byte i is -1 where bit i is set, else 0.
inline __m256i bytes_of_bits(uint32_t bits) {
  const __m256i word = _mm256_set1_epi32(static_cast<int>(bits));
  const __m256i spread =
      _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201u));
  return _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(word, spread), bit), bit);
}
// Bit i of a word of 32 bits as 16 in byte i.
inline __m256i fifth_bits(const uint8_t* p) {
  return _mm256_and_si256(bytes_of_bits(word_at(p)), _mm256_set1_epi8(16));
}
// The eight nibbles of a word, lowest first.
inline __m256i eight_nibbles(const uint8_t* p) {
  const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
  return _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(word_at(p))), shifts),
                          _mm256_set1_epi32(15));
}
inline __m256 eight_floats(__m128i bytes) {  // of the lower eight, unsigned
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}
inline __m256 eight_signed_floats(__m128i bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}
// s[i] = d * bytes[i] of 16 signed bytes.
inline void sixteen_scales(float d, __m128i bytes, float* s) {
  const __m256 factor = _mm256_set1_ps(d);
  _mm256_storeu_ps(s, _mm256_mul_ps(factor, eight_signed_floats(bytes)));
  _mm256_storeu_ps(s + 8, _mm256_mul_ps(factor, eight_signed_floats(_mm_srli_si128(bytes, 8))));
}

template <int kBlockBytes, int kBlockGroups, bool kIsSigned, bool kHasMinima, bool kHasHalves,
          int kTakenAway = 0>
struct Format {
  static constexpr int kBytes = kBlockBytes, kGroups = kBlockGroups;
  static constexpr int kOffset = kTakenAway;
  static constexpr bool kSigned = kIsSigned, kMinima = kHasMinima, kHalves = kHasHalves;
};

struct Q8_0 : Format<34, 1, true, false, false> {
  static void scales(const uint8_t* b, float* s, float*) { *s = half_at(b); }
  static __m256i values(const uint8_t* b, int) { return bytes_at(b + 2); }
};
struct Q4_0 : Format<18, 1, false, false, false, 8> {
  static void scales(const uint8_t* b, float* s, float*) { *s = half_at(b); }
  static __m256i values(const uint8_t* b, int) { return nibbles_at(b + 2); }
};
struct Q4_1 : Format<20, 1, false, true, false> {
  static void scales(const uint8_t* b, float* s, float* m) { *s = half_at(b), *m = -half_at(b + 2); }
  static __m256i values(const uint8_t* b, int) { return nibbles_at(b + 4); }
};
struct Q5_0 : Format<22, 1, false, false, false, 16> {
  static void scales(const uint8_t* b, float* s, float*) { *s = half_at(b); }
  static __m256i values(const uint8_t* b, int) {
    return _mm256_or_si256(nibbles_at(b + 6), fifth_bits(b + 2));
  }
};
struct Q5_1 : Format<24, 1, false, true, false> {
  static void scales(const uint8_t* b, float* s, float* m) { *s = half_at(b), *m = -half_at(b + 2); }
  static __m256i values(const uint8_t* b, int) {
    return _mm256_or_si256(nibbles_at(b + 8), fifth_bits(b + 4));
  }
};

// The values of a table of 16, low nibbles first.
inline __m256i table_at(const uint8_t* p, __m128i table) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), nibbles_at(p));
}
inline __m128i iq4_table() {
  return _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
}
// Twice the floats of four bits, so that scales are halves of what the file has.
inline __m128i e2m1_table() {
  return _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
}

struct IQ4_NL : Format<18, 1, true, false, false> {
  static void scales(const uint8_t* b, float* s, float*) { *s = half_at(b); }
  static __m256i values(const uint8_t* b, int) { return table_at(b + 2, iq4_table()); }
};
// The scale is half of 2^(e - 127), of which the two smallest are subnormal.
struct MXFP4 : Format<17, 1, true, false, false> {
  static __m256 powers(__m256i e) {
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    const __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, small));
  }
  static void scales(const uint8_t* b, float* s, float*) {
    *s = _mm256_cvtss_f32(powers(_mm256_set1_epi32(*b)));
  }
  static __m256i values(const uint8_t* b, int) { return table_at(b + 1, e2m1_table()); }
};
// Four scales, unsigned floats with four bits of exponent and three of fraction, of which 0x7f is 0. Their
// halves are 128 times the floats of 16 bits with the same exponents and fractions.
struct NVFP4 : Format<36, 2, true, false, true> {
  static void scales(const uint8_t* b, float* s, float*) {
    const __m128i bits = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(static_cast<int>(word_at(b))));
    const __m128i none = _mm_cmpeq_epi16(bits, _mm_set1_epi16(0x7f));
    const __m128i halves = _mm_slli_epi16(_mm_and_si128(bits, _mm_set1_epi16(0x7f)), 7);
    _mm_storeu_ps(s, _mm_mul_ps(_mm_cvtph_ps(_mm_andnot_si128(none, halves)), _mm_set1_ps(128)));
  }
  // Of 16 values each eight bytes have the first half in their low nibbles.
  static __m256i values(const uint8_t* b, int g) {
    return _mm256_permute4x64_epi64(table_at(b + 4 + 16 * g, e2m1_table()), 0xd8);
  }
};

// Neighbouring blocks of a format of one group or two, eight groups together. Formats of one but MXFP4 have
// their scale in the first two bytes and a minimum, with the sign changed, in the two behind.
template <class F>
struct Eight : Format<8 / F::kGroups * F::kBytes, 8, F::kSigned, F::kMinima, F::kHalves, F::kOffset> {
  static __m256 halves(const uint8_t* b) {
    const auto half = [b](int i) {
      int16_t bits;
      memcpy(&bits, b + i * F::kBytes, sizeof(bits));
      return bits;
    };
    return _mm256_cvtph_ps(
        _mm_setr_epi16(half(0), half(1), half(2), half(3), half(4), half(5), half(6), half(7)));
  }
  static void scales(const uint8_t* b, float* s, float* m) {
    if constexpr (F::kBytes == MXFP4::kBytes) {
      const auto e = [b](int i) { return static_cast<int>(b[i * F::kBytes]); };
      _mm256_storeu_ps(s, F::powers(_mm256_setr_epi32(e(0), e(1), e(2), e(3), e(4), e(5), e(6), e(7))));
    } else if constexpr (F::kGroups == 2) {
      for (int i = 0; i < 4; ++i) F::scales(b + i * F::kBytes, s + 4 * i, m);
    } else {
      _mm256_storeu_ps(s, halves(b));
      if constexpr (F::kMinima) _mm256_storeu_ps(m, _mm256_xor_ps(halves(b + 2), _mm256_set1_ps(-0.0f)));
    }
  }
  static __m256i values(const uint8_t* b, int g) {
    return F::values(b + g / F::kGroups * F::kBytes, g % F::kGroups);
  }
};

struct Q2_K : Format<84, 8, false, true, true> {
  static void scales(const uint8_t* b, float* s, float* m) {
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
    sixteen_scales(half_at(b + 80), _mm_and_si128(both, _mm_set1_epi8(15)), s);
    sixteen_scales(half_at(b + 82), _mm_and_si128(_mm_srli_epi16(both, 4), _mm_set1_epi8(15)), m);
  }
  static __m256i values(const uint8_t* b, int g) {
    return bits_of(bytes_at(b + 16 + 32 * (g / 4)), 2 * (g % 4), 3);
  }
};
struct Q3_K : Format<110, 8, false, false, true, 4> {
  static void scales(const uint8_t* b, float* s, float*) {
    uint64_t low;
    memcpy(&low, b + 96, sizeof(low));
    const uint32_t high = word_at(b + 104);
    const auto nibbles = [](uint64_t v) { return static_cast<int64_t>(v & 0x0f0f0f0f0f0f0f0fu); };
    const auto pairs = [](uint32_t v) { return static_cast<int>((v & 0x03030303u) << 4); };
    const __m128i six =
        _mm_or_si128(_mm_set_epi64x(nibbles(low >> 4), nibbles(low)),
                     _mm_set_epi32(pairs(high >> 6), pairs(high >> 4), pairs(high >> 2), pairs(high)));
    sixteen_scales(half_at(b + 108), _mm_sub_epi8(six, _mm_set1_epi8(32)), s);
  }
  static __m256i values(const uint8_t* b, int g) {
    const __m256i two = bits_of(bytes_at(b + 32 + 32 * (g / 4)), 2 * (g % 4), 3);
    const __m256i third = _mm256_slli_epi16(bits_of(bytes_at(b), g, 1), 2);
    return _mm256_or_si256(two, third);
  }
};

// The scales and minima of Q4_K and Q5_K, of six bits each. The bytes behind the two halves hold four scales,
// four minima, and the low bits of the other four of both, whose high bits are the two that the first leave.
inline void six_bit_scales(const uint8_t* b, float* s, float* m) {
  const __m128i head = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
  const __m128 factors = _mm_cvtph_ps(head);
  const __m128i packed = _mm_srli_si128(head, 4);
  const __m128i nibble = _mm_set1_epi8(15);
  const __m128i first = _mm_and_si128(packed, _mm_set1_epi8(63));
  const __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 2), _mm_set1_epi8(0x30));
  const __m128i low =
      _mm_unpackhi_epi32(_mm_and_si128(packed, nibble), _mm_and_si128(_mm_srli_epi16(packed, 4), nibble));
  const __m128i both = _mm_unpacklo_epi32(first, _mm_or_si128(low, high));  // eight scales, eight minima
  _mm256_storeu_ps(s, _mm256_mul_ps(_mm256_broadcastss_ps(factors), eight_floats(both)));
  _mm256_storeu_ps(m, _mm256_mul_ps(_mm256_broadcastss_ps(_mm_movehdup_ps(factors)),
                                    eight_floats(_mm_srli_si128(both, 8))));
}

struct Q4_K : Format<144, 8, false, true, false> {
  static void scales(const uint8_t* b, float* s, float* m) { six_bit_scales(b, s, m); }
  static __m256i values(const uint8_t* b, int g) {
    return bits_of(bytes_at(b + 16 + 32 * (g / 2)), 4 * (g % 2), 15);
  }
};
struct Q5_K : Format<176, 8, false, true, false> {
  static void scales(const uint8_t* b, float* s, float* m) { six_bit_scales(b, s, m); }
  static __m256i values(const uint8_t* b, int g) {
    const __m256i four = bits_of(bytes_at(b + 48 + 32 * (g / 2)), 4 * (g % 2), 15);
    return _mm256_or_si256(four, _mm256_slli_epi16(bits_of(bytes_at(b + 16), g, 1), 4));
  }
};
struct Q6_K : Format<210, 8, false, false, true, 32> {
  static void scales(const uint8_t* b, float* s, float*) {
    sixteen_scales(half_at(b + 208), _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 192)), s);
  }
  static __m256i values(const uint8_t* b, int g) {
    const int half = g / 4, plane = g % 4;
    const __m256i four = bits_of(bytes_at(b + 64 * half + 32 * (plane % 2)), 4 * (plane / 2), 15);
    const __m256i two = _mm256_slli_epi16(bits_of(bytes_at(b + 128 + 32 * half), 2 * plane, 3), 4);
    return _mm256_or_si256(four, two);
  }
};

struct IQ4_XS : Format<136, 8, true, false, false> {
  static void scales(const uint8_t* b, float* s, float*) {
    const int high = static_cast<int>(short_at(b + 2));
    const __m256i two = _mm256_and_si256(
        _mm256_srlv_epi32(_mm256_set1_epi32(high), _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14)),
        _mm256_set1_epi32(3));
    const __m256i six = _mm256_sub_epi32(_mm256_or_si256(eight_nibbles(b + 4), _mm256_slli_epi32(two, 4)),
                                         _mm256_set1_epi32(32));
    _mm256_storeu_ps(s, _mm256_mul_ps(_mm256_set1_ps(half_at(b)), _mm256_cvtepi32_ps(six)));
  }
  static __m256i values(const uint8_t* b, int g) { return table_at(b + 8 + 16 * g, iq4_table()); }
};

// One scale for all groups.
inline void same_scales(float d, float* s) {
  _mm256_storeu_ps(s, _mm256_set1_ps(d));
}

// Digits of base three; five are a byte's fraction of 256.
struct TQ1_0 : Format<54, 8, false, false, false, 1> {
  static void scales(const uint8_t* b, float* s, float*) { same_scales(half_at(b + 52), s); }
  // Modulo 256, behind `count` digits.
  static __m256i behind(__m256i v, int count) {
    for (; count > 0; --count) v = _mm256_add_epi8(v, _mm256_add_epi8(v, v));
    return v;
  }
  static __m256i first_digit(__m256i v) {
    const auto reaches = [v](int third) {  // -1 where it does
      return _mm256_cmpeq_epi8(_mm256_max_epu8(v, _mm256_set1_epi8(static_cast<char>(third))), v);
    };
    return _mm256_sub_epi8(_mm256_setzero_si256(), _mm256_add_epi8(reaches(86), reaches(171)));
  }
  // Five groups are digits of 32 bytes, the next 80 numbers of 16 bytes, and the last 16 of four.
  static __m256i values(const uint8_t* b, int g) {
    if (g < 5) return first_digit(behind(bytes_at(b), g));
    const __m256i bytes =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 32)));
    const __m256i v = behind(bytes, 2 * (g - 5));
    if (g < 7) return first_digit(_mm256_blend_epi32(v, behind(v, 1), 0xf0));
    const __m256i four = _mm256_set1_epi32(static_cast<int>(word_at(b + 48)));
    const __m256i first = _mm256_blend_epi32(four, behind(four, 1), 0x20);
    const __m256i last = _mm256_blend_epi32(behind(four, 2), behind(four, 3), 0x80);
    return first_digit(_mm256_blend_epi32(v, _mm256_blend_epi32(first, last, 0xc0), 0xf0));
  }
};
struct TQ2_0 : Format<66, 8, false, false, false, 1> {
  static void scales(const uint8_t* b, float* s, float*) { same_scales(half_at(b + 64), s); }
  static __m256i values(const uint8_t* b, int g) {
    return bits_of(bytes_at(b + 32 * (g / 4)), 2 * (g % 4), 3);
  }
};

struct F16 {
  static constexpr int kBytes = 64, kGroups = 0;
  static __m256 floats(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
};
struct BF16 {
  static constexpr int kBytes = 64, kGroups = 0;
  static __m256 floats(const uint8_t* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
};
