// Every device against the reference backend, operation by operation, over types and odd shapes.
//
// Tolerance: both sides sum the same products, the reference in f64. An f32 sum of K products of magnitude a
// b differs by at most about K eps a b, and in practice by sqrt(K); outputs in bf16 add half a unit in the
// last place of 2^-8, and bf16 probabilities another 2^-8 of the values they weigh. Inputs are of magnitude 1
// to 4.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "backend/backend.h"

namespace claa {
namespace {

struct Device {
  DType dtype;
  const char* isa;
};

class Conformance : public testing::TestWithParam<Device> {
 protected:
  Conformance() : reference_(make("reference", "")), device_(make("cpu", GetParam().isa)) {}

  std::unique_ptr<Backend> make(const char* name, const char* isa) const {
    BackendOptions options;
    options.name = name;
    options.dtype = GetParam().dtype;
    options.isa = isa;
    return make_backend(options);
  }

  Tensor tensor(DType dtype, int64_t planes, int64_t rows, int64_t columns) {
    buffers_.push_back(
        reference_->allocate(static_cast<size_t>(planes * rows * columns) * dtype_bytes(dtype)));
    return Tensor::cube(buffers_.back().data(), dtype, planes, rows, columns);
  }

  Tensor random(DType dtype, int64_t planes, int64_t rows, int64_t columns) {
    const Tensor t = tensor(dtype, planes, rows, columns);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < planes * rows * columns; ++i) set(t, i, normal(random_));
    return t;
  }

  static void set(const Tensor& t, int64_t i, float value) {
    if (t.dtype == DType::kBF16) {
      t.ptr<Bf16>()[i] = to_bf16(value);
    } else {
      t.ptr<float>()[i] = value;
    }
  }
  static float get(const Tensor& t, int64_t i) {
    return t.dtype == DType::kBF16 ? to_float(t.ptr<Bf16>()[i]) : t.ptr<float>()[i];
  }

  // `terms`: products summed for one output.
  void expect_close(const char* what, const Tensor& expected, const Tensor& got, double terms) {
    const double relative = expected.dtype == DType::kBF16 || GetParam().dtype == DType::kBF16 ? 0x1p-7 : 0;
    double worst = 0;
    int64_t worst_at = 0;
    const int64_t count = expected.planes() * expected.rows() * expected.columns();
    for (int64_t i = 0; i < count; ++i) {
      const double e = get(expected, i), g = get(got, i);
      ASSERT_EQ(std::isfinite(e), std::isfinite(g)) << what << " element " << i;
      if (!std::isfinite(e)) continue;
      const double allowed =
          4 * std::sqrt(terms) * 1.2e-7 * (1 + std::abs(e)) + relative * std::max(0.05, std::abs(e));
      if (std::abs(e - g) / allowed > worst) worst = std::abs(e - g) / allowed, worst_at = i;
    }
    EXPECT_LE(worst, 1) << what << " [" << expected.planes() << ", " << expected.rows() << ", "
                        << expected.columns() << "] worst at " << worst_at << ": " << get(expected, worst_at)
                        << " against " << get(got, worst_at);
  }

  std::unique_ptr<Backend> reference_, device_;
  std::vector<Buffer> buffers_;
  std::mt19937 random_{7};
};

TEST_P(Conformance, Linear) {
  for (const auto& [rows, inputs, outputs] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 64, 33}, {3, 31, 7}, {5, 96, 17}, {67, 129, 65}}) {
    const std::vector<float> weights = [&] {
      std::vector<float> w(static_cast<size_t>(inputs * outputs));
      std::normal_distribution<float> normal(0, 0.3f);
      for (float& v : w) v = normal(random_);
      return w;
    }();
    WeightSource source;
    source.outputs = outputs;
    source.inputs = inputs;
    source.fill = [&weights, n = inputs](int64_t first, int64_t count, float* to) {
      std::copy_n(weights.begin() + first * n, count * n, to);
    };
    const Tensor x = random(GetParam().dtype, 1, rows, inputs);
    for (const bool accumulate : {false, true}) {
      const Tensor expected = random(DType::kF32, 1, rows, outputs),
                   got = tensor(DType::kF32, 1, rows, outputs);
      std::memcpy(got.data, expected.data, got.bytes());
      reference_->linear(x, *reference_->prepare(source), expected, accumulate);
      device_->linear(x, *device_->prepare(source), got, accumulate);
      expect_close("linear", expected, got, static_cast<double>(inputs));
    }
  }
}

TEST_P(Conformance, NormAndSwiglu) {
  for (const int64_t columns : {1, 7, 16, 33, 576}) {
    const Tensor x = random(DType::kF32, 1, 5, 2 * columns), weight = random(DType::kF32, 1, 1, 2 * columns);
    const Tensor a = tensor(GetParam().dtype, 1, 5, 2 * columns),
                 b = tensor(GetParam().dtype, 1, 5, 2 * columns);
    reference_->rms_norm(x, weight, 1e-5f, a);
    device_->rms_norm(x, weight, 1e-5f, b);
    expect_close("rms_norm", a, b, static_cast<double>(columns));
    const Tensor c = tensor(GetParam().dtype, 1, 5, columns), d = tensor(GetParam().dtype, 1, 5, columns);
    reference_->swiglu(x, c);
    device_->swiglu(x, d);
    expect_close("swiglu", c, d, 4);
  }
}

TEST_P(Conformance, Rope) {
  for (const bool interleaved : {true, false}) {
    for (const int64_t half : {1, 5, 12, 32}) {
      const int64_t head_size = 2 * half + (half == 5 ? 6 : 0), heads = 3, rows = 4;
      const RopeTable table{random(DType::kF32, 1, 20, half), random(DType::kF32, 1, 20, half), interleaved};
      const std::vector<int32_t> positions{0, 3, 4, 19};
      const Tensor q = random(DType::kF32, 1, rows, 2 * heads * head_size);
      const Tensor a = tensor(GetParam().dtype, 1, rows, q.columns()),
                   b = tensor(GetParam().dtype, 1, rows, q.columns());
      reference_->rope(q, head_size, table, positions, a);
      device_->rope(q, head_size, table, positions, b);
      expect_close("rope", a, b, 4);
      KvView caches[2];
      for (KvView& kv : caches) {
        kv = {random(GetParam().dtype, heads, 6, head_size), random(GetParam().dtype, heads, 6, head_size),
              6};
        std::memset(kv.k.data, 0, kv.k.bytes());
        std::memset(kv.v.data, 0, kv.v.bytes());
      }
      reference_->rope_store(q, table, positions, caches[0], 1);
      device_->rope_store(q, table, positions, caches[1], 1);
      expect_close("rope_store k", caches[0].k, caches[1].k, 4);
      expect_close("rope_store v", caches[0].v, caches[1].v, 1);
    }
  }
}

TEST_P(Conformance, AttentionAndScores) {
  for (const auto& [length, kv_heads, group, head_size] :
       {std::tuple<int64_t, int64_t, int64_t, int64_t>{9, 1, 1, 2},
        {127, 2, 3, 24},
        {129, 1, 4, 64},
        {300, 3, 3, 40}}) {
    const KvView kv{random(GetParam().dtype, kv_heads, length, head_size),
                    random(GetParam().dtype, kv_heads, length, head_size), length};
    std::unique_ptr<PackedKv> packed, packed_reference;
    device_->pack_kv(kv, packed);
    reference_->pack_kv(kv, packed_reference);
    // Gappy rows, as after a selection: every third token and the last.
    std::vector<int32_t> visible;
    for (int64_t i = 0; i < length - 1; i += 3) visible.push_back(static_cast<int32_t>(i + 1));
    visible.push_back(static_cast<int32_t>(length));
    const int64_t rows = static_cast<int64_t>(visible.size());
    const Tensor q = random(GetParam().dtype, 1, rows, kv_heads * group * head_size);
    const Tensor a = tensor(GetParam().dtype, 1, rows, q.columns()),
                 b = tensor(GetParam().dtype, 1, rows, q.columns());
    reference_->attention(q, kv, packed_reference.get(), visible, a);
    device_->attention(q, kv, packed.get(), visible, b);
    expect_close("attention", a, b, static_cast<double>(length));
    device_->attention(q, kv, nullptr, visible, b);
    expect_close("attention of few rows", a, b, static_cast<double>(length));

    for (const Reduce reduce : {Reduce::kKeep, Reduce::kSum, Reduce::kMax}) {
      for (const bool softmax : {true, false}) {
        ScoreSpec spec;
        spec.window = 5;
        spec.rows = spec.group = reduce;
        spec.softmax = softmax;
        spec.drop_window = softmax;
        spec.kernel = reduce == Reduce::kMax ? 4 : 7;
        spec.pool = reduce == Reduce::kMax ? PoolKind::kMax : PoolKind::kAverage;
        if (!softmax) spec.rows = Reduce::kSum, spec.window = 1;
        const Tensor window =
            q.slice_rows(rows - spec.window < 0 ? 0 : rows - spec.window, std::min(rows, spec.window));
        if (window.rows() < spec.window) continue;
        const int64_t out_rows = score_rows(spec, kv_heads * group, kv_heads),
                      tokens = score_tokens(spec, length);
        const Tensor c = tensor(DType::kF32, 1, out_rows, tokens),
                     d = tensor(DType::kF32, 1, out_rows, tokens);
        reference_->window_scores(window, kv, packed_reference.get(), spec, c);
        device_->window_scores(window, kv, packed.get(), spec, d);
        expect_close("window_scores", c, d, static_cast<double>(length));
      }
    }
  }
}

TEST_P(Conformance, TopKOrdersTiesByIndex) {
  const Tensor scores = tensor(DType::kF32, 1, 1, 6), out = tensor(DType::kI32, 1, 1, 5);
  const float values[] = {1, 3, 2, 3, 2, std::nanf("")};
  std::copy(std::begin(values), std::end(values), scores.ptr<float>());
  device_->top_k(scores, 3, 2, out);
  const std::vector<int32_t> got(out.ptr<int32_t>(), out.ptr<int32_t>() + 5);
  EXPECT_EQ(got, (std::vector<int32_t>{1, 2, 3, 6, 7}));
}

INSTANTIATE_TEST_SUITE_P(Devices, Conformance,
                         testing::Values(Device{DType::kF32, ""}, Device{DType::kF32, "avx2"},
                                         Device{DType::kBF16, ""}, Device{DType::kBF16, "avx2"}),
                         [](const auto& info) {
                           return std::string(dtype_name(info.param.dtype)) +
                                  (*info.param.isa ? "_avx2" : "_best");
                         });

}  // namespace
}  // namespace claa
