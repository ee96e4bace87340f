// Attention of few query rows, which read K and V in place: products with keys and sums of values. Included
// by kernels_impl.h inside the namespace of every instruction set, so that it has no include guard.

#if defined(__AVX512F__)
constexpr int kHeadsAtOnce = 4;  // 4 x 4 sums of 32 registers
// Lane i of the result is the sum of all lanes of v[i].
inline Vec sum_lanes(Vec (&v)[kLanes]) {
  for (int i = 0; i < 8; ++i) {
    v[i] = add(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
  }
  for (int i = 0; i < 4; ++i) {
    const __m512d a = _mm512_castps_pd(v[2 * i]), b = _mm512_castps_pd(v[2 * i + 1]);
    v[i] = add(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  for (int count = 2; count > 0; count /= 2) {
    for (int i = 0; i < count; ++i) {
      const Vec a = v[2 * i], b = v[2 * i + 1];
      v[i] = add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
  }
  return v[0];
}
#else
constexpr int kHeadsAtOnce = 2;  // 2 x 4 sums of 16 registers
inline Vec sum_lanes(Vec (&v)[kLanes]) {
  for (int i = 0; i < 4; ++i) {
    v[i] = add(_mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]));
  }
  for (int i = 0; i < 2; ++i) {
    const __m256d a = _mm256_castps_pd(v[2 * i]), b = _mm256_castps_pd(v[2 * i + 1]);
    v[i] = add(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
  }
  return add(_mm256_permute2f128_ps(v[0], v[1], 0x20), _mm256_permute2f128_ps(v[0], v[1], 0x31));
}
#endif

// Products of one query with kLanes keys of f32, `stride` apart.
inline Vec lane_dots(const float* q, const float* k, int64_t stride, int64_t n) {
  Vec acc[kLanes];
  int64_t vectors = n / kLanes * kLanes;
  for (int j = 0; j < kLanes; ++j) {
    Vec sum = set1(0);
    for (int64_t i = 0; i < vectors; i += kLanes) sum = fma(load(q + i), load(k + j * stride + i), sum);
    acc[j] = sum;
  }
  if (vectors == n) return sum_lanes(acc);
  float rest[kLanes];
  for (int j = 0; j < kLanes; ++j) {
    rest[j] = 0;
    for (int64_t i = vectors; i < n; ++i) rest[j] += q[i] * k[j * stride + i];
  }
  return add(sum_lanes(acc), load(rest));
}

void few_dots(const float* q, int group, const void* k, bool bf16, int64_t stride, int64_t n, int count,
              float* wide, float* s, int64_t s_stride) {
  for (int first = 0; first < count; first += kLanes) {
    const int keys = count - first < kLanes ? count - first : kLanes;
    const float* rows = static_cast<const float*>(k) + first * stride;
    int64_t row_stride = stride;
    if (bf16 || keys < kLanes) {  // widened, and never read beyond the last key
      for (int j = 0; j < kLanes; ++j) {
        const int64_t at = (first + (j < keys ? j : 0)) * stride;
        if (bf16) {
          to_f32(static_cast<const uint16_t*>(k) + at, n, wide + j * n);
        } else {
          memcpy(wide + j * n, static_cast<const float*>(k) + at, static_cast<size_t>(n) * sizeof(float));
        }
      }
      rows = wide, row_stride = n;
    }
    for (int g = 0; g < group; ++g) {
      float dots[kLanes];
      store(dots, lane_dots(q + g * n, rows, row_stride, n));
      memcpy(s + g * s_stride + first, dots, static_cast<size_t>(keys) * sizeof(float));
    }
  }
}

// o[kHeads, kVectors * kLanes] += p v, both kept in registers over all keys.
template <int kHeads, int kVectors>
inline void sum_values(const float* p, int64_t p_stride, const void* v, bool bf16, int64_t stride, int count,
                       float* o, int64_t o_stride) {
  Vec acc[kHeads][kVectors];
  for (int g = 0; g < kHeads; ++g) {
    for (int i = 0; i < kVectors; ++i) acc[g][i] = load(o + g * o_stride + i * kLanes);
  }
  for (int j = 0; j < count; ++j) {
    Vec value[kVectors];
    for (int i = 0; i < kVectors; ++i) value[i] = load_as(v, bf16, j * stride + i * kLanes);
    for (int g = 0; g < kHeads; ++g) {
      const Vec weight = set1(p[g * p_stride + j]);
      for (int i = 0; i < kVectors; ++i) acc[g][i] = fma(weight, value[i], acc[g][i]);
    }
  }
  for (int g = 0; g < kHeads; ++g) {
    for (int i = 0; i < kVectors; ++i) store(o + g * o_stride + i * kLanes, acc[g][i]);
  }
}

template <int kHeads>
inline void sum_heads(const float* p, int64_t p_stride, const void* v, bool bf16, int64_t stride, int64_t n,
                      int count, float* o) {
  const int64_t bytes = bf16 ? 2 : 4;
  const auto at = [&](int64_t i) { return static_cast<const char*>(v) + i * bytes; };
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    sum_values<kHeads, 4>(p, p_stride, at(i), bf16, stride, count, o + i, n);
  }
  for (; i + kLanes <= n; i += kLanes) {
    sum_values<kHeads, 1>(p, p_stride, at(i), bf16, stride, count, o + i, n);
  }
  for (; i < n; ++i) {
    for (int g = 0; g < kHeads; ++g) {
      for (int j = 0; j < count; ++j) {
        const float value = one_as(v, bf16, j * stride + i);
        o[g * n + i] += p[g * p_stride + j] * value;
      }
    }
  }
}

void few_sums(const float* p, int64_t p_stride, int group, const void* v, bool bf16, int64_t stride,
              int64_t n, int count, float* o) {
  int g = 0;
  for (; g + kHeadsAtOnce <= group; g += kHeadsAtOnce) {
    sum_heads<kHeadsAtOnce>(p + g * p_stride, p_stride, v, bf16, stride, n, count, o + g * n);
  }
#if defined(__AVX512F__)
  if (g + 3 == group) {
    sum_heads<3>(p + g * p_stride, p_stride, v, bf16, stride, n, count, o + g * n);
    return;
  }
  if (g + 2 <= group) {
    sum_heads<2>(p + g * p_stride, p_stride, v, bf16, stride, n, count, o + g * n);
    g += 2;
  }
#endif
  if (g < group) sum_heads<1>(p + g * p_stride, p_stride, v, bf16, stride, n, count, o + g * n);
}
