// Kernels of recurrent layers, included inside the namespace of every instruction set by kernels_impl.h. No
// include guard for the same reason.

void logistic_gate(const float* gate, int64_t n, void* x, bool bf16) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec e = exp2_vec(mul(load(gate + i), set1(-kLog2e)));
    put(x, bf16, i, div(load_as(x, bf16, i), add(set1(1.0f), e)));
  }
  for (; i < n; ++i) put_one(x, bf16, i, one_as(x, bf16, i) / (1.0f + exp2_one(-kLog2e * gate[i])));
}

void convolve(const float* const* rows, const float* weight, int width, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Vec sum = set1(0);
    for (int j = 0; j < width; ++j) sum = fma(load(weight + j * n + i), load(rows[j] + i), sum);
    store(out + i, silu(sum));
  }
  for (; i < n; ++i) {
    float sum = 0;
    for (int j = 0; j < width; ++j) sum += weight[j * n + i] * rows[j][i];
    out[i] = sum / (1.0f + exp2_one(-kLog2e * sum));
  }
}

void exp_differences(float from, const float* x, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    store(out + i, exp2_vec(mul(sub(set1(from), load(x + i)), set1(kLog2e))));
  for (; i < n; ++i) out[i] = exp2_one((from - x[i]) * kLog2e);
}

// Some neighbouring dimensions of the values, kVectors vectors of them: small enough that the second pass
// over the memory finds it in the first cache.
template <int kVectors>
inline void delta_columns(float* s, int64_t keys, int64_t values, const float* q, const float* k,
                          const float* v, float decay, float take, float scale, float* out) {
  Vec known[kVectors], sum[kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) known[j] = sum[j] = set1(0);
  for (int64_t i = 0; i < keys; ++i) {
    const Vec key = set1(k[i]);
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) known[j] = fma(key, load(s + i * values + j * kLanes), known[j]);
  }
  const Vec shrink = set1(decay);
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j)
    known[j] = mul(set1(take), sub(load(v + j * kLanes), mul(shrink, known[j])));  // what is taken in
  for (int64_t i = 0; i < keys; ++i) {
    const Vec key = set1(k[i]), query = set1(q[i]);
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      float* at = s + i * values + j * kLanes;
      const Vec now = fma(key, known[j], mul(shrink, load(at)));
      store(at, now);
      sum[j] = fma(query, now, sum[j]);
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) store(out + j * kLanes, mul(set1(scale), sum[j]));
}

void delta_step(float* s, int64_t keys, int64_t values, const float* q, const float* k, const float* v,
                float decay, float take, float scale, float* out) {
  int64_t c = 0;
  for (; c + 4 * kLanes <= values; c += 4 * kLanes)
    delta_columns<4>(s + c, keys, values, q, k, v + c, decay, take, scale, out + c);
  for (; c + kLanes <= values; c += kLanes)
    delta_columns<1>(s + c, keys, values, q, k, v + c, decay, take, scale, out + c);
  for (; c < values; ++c) {
    float known = 0, sum = 0;
    for (int64_t i = 0; i < keys; ++i) known += k[i] * s[i * values + c];
    const float taken = take * (v[c] - decay * known);
    for (int64_t i = 0; i < keys; ++i) {
      float& at = s[i * values + c];
      at = decay * at + k[i] * taken;
      sum += q[i] * at;
    }
    out[c] = scale * sum;
  }
}
