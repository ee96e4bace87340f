// Linear layers, embedding, normalisation, RoPE and the gated activation against the reference backend.
#include <cstring>

#include "conformance/backend_support.h"
#include "core/usize.h"

namespace claa {
namespace {

using test::Array;
using test::kU;

class Dense : public test::BackendTest {
 protected:
  struct Weights {
    std::shared_ptr<std::vector<float>> values;  // shared with the source, which may outlive a copy of this
    WeightSource source;
  };
  Weights weights(int64_t outputs, int64_t inputs, bool table = false) {
    auto values = std::make_shared<std::vector<float>>(usize(outputs * inputs));
    for (float& value : *values) value = random.normal();
    return {values, {outputs, inputs, table, [values, inputs](int64_t first, int64_t count, float* rows) {
                       std::copy_n(values->begin() + first * inputs, count * inputs, rows);
                     }}};
  }
  void check_linear(int64_t rows, int64_t outputs, int64_t inputs, bool table, bool accumulate);
};

void Dense::check_linear(int64_t rows, int64_t outputs, int64_t inputs, bool table, bool accumulate) {
  const Weights w = weights(outputs, inputs, table);
  Array x(dtype, rows, inputs), want(DType::kF32, rows, outputs), got(DType::kF32, rows, outputs);
  x.fill(random.source());
  want.fill(random.source());
  std::memcpy(got.tensor.data, want.tensor.data, want.tensor.bytes());
  Array before(DType::kF32, rows, outputs);
  std::memcpy(before.tensor.data, want.tensor.data, want.tensor.bytes());
  const auto expected = reference->prepare(w.source), packed = backend->prepare(w.source);
  reference->linear(x.tensor, *expected, want.tensor, accumulate);
  backend->linear(x.tensor, *packed, got.tensor, accumulate);
  // One more term for the accumulated value.
  const auto bound = [&](int64_t /*p*/, int64_t r, int64_t c) {
    double magnitude = accumulate ? std::abs(before.get(0, r, c)) : 0;
    for (int64_t i = 0; i < inputs; ++i) {
      magnitude += std::abs(1.01 * x.get(0, r, i) * (*w.values)[usize(c * inputs + i)]);
    }
    return static_cast<double>(inputs + 1) * kU * magnitude;
  };
  test::expect_close(fmt::format("linear {}x{} by {}x{}{}{}", rows, inputs, outputs, inputs,
                                 table ? ", table" : "", accumulate ? ", accumulate" : ""),
                     want, got, bound);
}

TEST_P(Dense, Linear) {
  for (const int64_t rows : {1, 2, 4, 5, 37, 130}) {
    for (const auto& [outputs, inputs] :
         {std::pair{1, 1}, {7, 3}, {64, 64}, {97, 61}, {128, 255}, {193, 8}, {35, 1320}}) {
      for (const bool table : {false, true}) {
        for (const bool accumulate : {false, true}) check_linear(rows, outputs, inputs, table, accumulate);
      }
    }
  }
}

TEST_P(Dense, LinearOfMoreRowsThanOnePackingStep) {
  check_linear(5, 1031, 16, false, false);
}

// The same weights serve every row count, and a row's result must not depend on who asked before.
TEST_P(Dense, LinearIsRepeatable) {
  const Weights w = weights(61, 67);
  const auto packed = backend->prepare(w.source);
  Array x(dtype, 9, 67), first(DType::kF32, 9, 61), again(DType::kF32, 9, 61), other(DType::kF32, 9, 61);
  x.fill(random.source());
  backend->linear(x.tensor, *packed, first.tensor, false);
  backend->linear(x.tensor.slice_rows(0, 5), *packed, other.tensor.slice_rows(0, 5), false);
  backend->linear(x.tensor, *packed, again.tensor, false);
  EXPECT_EQ(std::memcmp(first.tensor.data, again.tensor.data, first.tensor.bytes()), 0);
}

TEST_P(Dense, EmbedIsExact) {
  for (const int64_t hidden : {1, 7, 64, 129}) {
    const Weights w = weights(101, hidden, true);
    const auto expected = reference->prepare(w.source), packed = backend->prepare(w.source);
    const std::vector<int32_t> ids = {0, 100, 5, 5, 42};
    for (const float scale : {1.0f, 25.298f}) {
      Array want(DType::kF32, 5, hidden), got(DType::kF32, 5, hidden);
      reference->embed(*expected, ids, scale, want.tensor);
      backend->embed(*packed, ids, scale, got.tensor);
      EXPECT_EQ(std::memcmp(want.tensor.data, got.tensor.data, want.tensor.bytes()), 0)
          << "hidden " << hidden << ", scale " << scale;
      // Some columns of the same rows.
      const int64_t first = hidden / 3, columns = hidden / 2 + 1 - first;
      Array part(DType::kF32, 5, columns);
      backend->embed(*packed, ids, scale, part.tensor, first);
      for (int64_t r = 0; r < 5; ++r) {
        for (int64_t c = 0; c < columns; ++c) EXPECT_EQ(part.get(0, r, c), want.get(0, r, first + c));
      }
    }
  }
}

TEST_P(Dense, RmsNorm) {
  for (const int64_t rows : {1, 3, 17}) {
    for (const int64_t columns : {1, 2, 15, 64, 127, 576}) {
      Array x(DType::kF32, rows, columns), weight(DType::kF32, 1, columns);
      Array want(dtype, rows, columns), got(dtype, rows, columns);
      x.fill(random.source(3));
      for (int64_t c = 0; c < columns; ++c) x.set(0, 0, c, 0);  // only eps keeps a row of zeros finite
      weight.fill(random.source());
      reference->rms_norm(x.tensor, weight.tensor, 1e-5f, want.tensor);
      backend->rms_norm(x.tensor, weight.tensor, 1e-5f, got.tensor);
      // Sum of squares: `columns` roundings, halved by the root; then root, quotient, sum with eps, two
      // products.
      test::expect_close(
          fmt::format("rms_norm {}x{}", rows, columns), want, got, [&](int64_t p, int64_t r, int64_t c) {
            return test::with_output(
                want, p, r, c, (static_cast<double>(columns) / 2 + 8) * kU * std::abs(want.get(p, r, c)));
          });
    }
  }
}

TEST_P(Dense, AddBias) {
  Array x(DType::kF32, 3, 37), y(DType::kF32, 3, 37), bias(DType::kF32, 1, 37);
  x.fill(random.source());
  bias.fill(random.source());
  std::memcpy(y.tensor.data, x.tensor.data, x.tensor.bytes());
  backend->add_bias(y.tensor, bias.tensor);
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t c = 0; c < 37; ++c) EXPECT_EQ(y.get(0, r, c), x.get(0, r, c) + bias.get(0, 0, c));
  }
}

// The residual stream as matrices read it where a layer has no norm before them.
TEST_P(Dense, Convert) {
  for (const int64_t columns : {1, 7, 64, 577}) {
    Array x(DType::kF32, 3, columns), want(dtype, 3, columns), got(dtype, 3, columns);
    x.fill(random.source(3));
    reference->convert(x.tensor, want.tensor);
    backend->convert(x.tensor, got.tensor);
    for (int64_t r = 0; r < 3; ++r) {
      for (int64_t c = 0; c < columns; ++c) EXPECT_EQ(got.get(0, r, c), want.get(0, r, c));
    }
  }
}

TEST_P(Dense, SoftCap) {
  for (const float cap : {0.5f, 30.0f}) {
    for (const int64_t columns : {1, 7, 4097}) {
      Array want(DType::kF32, 2, columns), got(DType::kF32, 2, columns);
      want.fill(random.source(50));
      want.set(0, 0, 0, 1e30f), want.set(0, 1, 0, -1e30f);
      std::memcpy(got.tensor.data, want.tensor.data, want.tensor.bytes());
      reference->soft_cap(want.tensor, cap);
      backend->soft_cap(got.tensor, cap);
      EXPECT_EQ(got.get(0, 0, 0), cap);
      EXPECT_EQ(got.get(0, 1, 0), -cap);
      // By 1 - 2 / (1 + e^2u): a few roundings of the cap, whatever the result.
      test::expect_close(fmt::format("soft_cap {} {}", cap, columns), want, got,
                         [cap](int64_t, int64_t, int64_t) { return 8 * kU * cap + test::kExp * cap; });
    }
  }
}

// Two norms of their own: that of a branch, which is added, and that of every head, in place.
TEST_P(Dense, AddRmsNorm) {
  for (const int64_t columns : {1, 7, 64, 577}) {
    Array x(DType::kF32, 3, columns), weight(DType::kF32, 1, columns);
    Array want(DType::kF32, 3, columns), got(DType::kF32, 3, columns), before(DType::kF32, 3, columns);
    x.fill(random.source(3)), weight.fill(random.source()), before.fill(random.source());
    std::memcpy(want.tensor.data, before.tensor.data, before.tensor.bytes());
    std::memcpy(got.tensor.data, before.tensor.data, before.tensor.bytes());
    reference->add_rms_norm(x.tensor, weight.tensor, 1e-5f, want.tensor);
    backend->add_rms_norm(x.tensor, weight.tensor, 1e-5f, got.tensor);
    // As for rms_norm, and one sum.
    test::expect_close(
        fmt::format("add_rms_norm {}", columns), want, got, [&](int64_t p, int64_t r, int64_t c) {
          const double normed = std::abs(static_cast<double>(want.get(p, r, c)) - before.get(p, r, c));
          return (static_cast<double>(columns) / 2 + 9) * kU * (normed + std::abs(want.get(p, r, c)));
        });
  }
}

TEST_P(Dense, NormHeads) {
  const DType wide = backend->traits().wide;
  for (const int64_t head_size : {2, 24, 64, 128}) {
    constexpr int64_t kHeads = 3, kNormed = 2;
    Array want(wide, 5, kHeads * head_size), got(wide, 5, kHeads * head_size),
        weight(DType::kF32, 1, head_size);
    got.fill(random.source(3)), weight.fill(random.source());
    std::memcpy(want.tensor.data, got.tensor.data, got.tensor.bytes());
    Array before(wide, 5, kHeads * head_size);
    std::memcpy(before.tensor.data, got.tensor.data, got.tensor.bytes());
    reference->norm_heads(want.tensor, kNormed, weight.tensor, 1e-6f);
    backend->norm_heads(got.tensor, kNormed, weight.tensor, 1e-6f);
    test::expect_close(
        fmt::format("norm_heads {}", head_size), want, got, [&](int64_t p, int64_t r, int64_t c) {
          const double bound = (static_cast<double>(head_size) / 2 + 8) * kU * std::abs(want.get(p, r, c));
          return test::with_output(want, p, r, c, bound);
        });
    for (int64_t r = 0; r < 5; ++r) {
      for (int64_t c = kNormed * head_size; c < kHeads * head_size; ++c)
        EXPECT_EQ(got.get(0, r, c), before.get(0, r, c)) << "a head that is not normed";
      EXPECT_NE(got.get(0, r, 0), before.get(0, r, 0));
    }
  }
}

TEST_P(Dense, Gate) {
  for (const Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kClamped}) {
    for (const int64_t columns : {1, 7, 64, 131}) {
      Array gate_up(DType::kF32, 5, 2 * columns), want(dtype, 5, columns), got(dtype, 5, columns);
      gate_up.fill(random.source(6));
      gate_up.set(0, 0, 0, -200), gate_up.set(0, 1, 0, 200), gate_up.set(0, 2, 0, 0);
      reference->gate(gate_up.tensor, activation, want.tensor);
      backend->gate(gate_up.tensor, activation, got.tensor);
      // The rounding of the exponential's argument a(g): |a| 2u, where a is g, or for the GELU a cubic, of
      // which 6 roundings count; below exp's range the result is under 1e-35 and may be anything that small.
      // For bf16 exp may be off by 1e-4 and the quotient by 2^-14, which moves a value across one rounding at
      // most.
      test::expect_close(fmt::format("gate 5x{}", columns), want, got, [&](int64_t p, int64_t r, int64_t c) {
        const double g = std::abs(gate_up.get(0, r, c));
        const double argument = activation == Activation::kSilu ? 3 * g : 6 * 1.6 * g * (1 + 0.045 * g * g);
        const double relative = (6 + argument) * kU + test::kExp;
        return test::with_output(want, p, r, c, relative * std::abs(want.get(p, r, c)) + 1e-35);
      });
    }
  }
}

// Compares the bits of one fused operation with those of two.
TEST_P(Dense, GatesOfALinearLayer) {
  for (const int64_t rows : {1, 5, 97, 200}) {
    for (const auto& [columns, inputs] : {std::pair{7, 6}, {64, 24}, {96, 61}, {128, 576}, {192, 64}}) {
      const Weights w = weights(2 * columns, inputs);
      const auto packed = backend->prepare(w.source);
      Array x(dtype, rows, inputs), gate_up(backend->traits().wide, rows, 2 * columns);
      x.fill(random.source());
      for (const Activation activation : {Activation::kSilu, Activation::kGelu}) {
        Array want(dtype, rows, columns), got(dtype, rows, columns);
        backend->linear(x.tensor, *packed, gate_up.tensor, false);
        backend->gate(gate_up.tensor, activation, want.tensor);
        backend->linear_gate(x.tensor, *packed, activation, gate_up.tensor, got.tensor);
        EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0) << rows << ", " << columns;
      }
    }
  }
}

struct RopeCase {
  int64_t heads, head_size, rotated;
  bool interleaved;
};

const RopeCase kRopeCases[] = {{1, 2, 2, true},    {1, 2, 2, false},     {3, 24, 24, true},
                               {3, 40, 40, false}, {2, 64, 64, true},    {2, 64, 64, false},
                               {2, 80, 80, false}, {2, 128, 128, false}, {2, 128, 128, true},
                               {2, 64, 32, false}, {2, 80, 20, true},    {1, 40, 34, false}};

class Rope : public test::BackendTest {
 protected:
  // `fill` values that bf16 holds exactly.
  std::function<float()> bf16_values() {
    return [this] { return to_float(to_bf16(random.normal())); };
  }
  // The same values in the types that projections may have on this device.
  std::vector<std::unique_ptr<Array>> in_wide_types(const Array& values) {
    std::vector<std::unique_ptr<Array>> arrays;
    for (const DType type : {DType::kF32, backend->traits().wide}) {
      const int64_t rows = values.tensor.rows(), columns = values.tensor.columns();
      if (!arrays.empty() && type == DType::kF32) continue;
      arrays.push_back(std::make_unique<Array>(type, rows, columns));
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < columns; ++c) arrays.back()->set(0, r, c, values.get(0, r, c));
      }
    }
    return arrays;
  }
  void make_table(int64_t positions, int64_t half, bool interleaved) {
    cos_ = std::make_unique<Array>(DType::kF32, positions, half);
    sin_ = std::make_unique<Array>(DType::kF32, positions, half);
    for (int64_t p = 0; p < positions; ++p) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(p) * std::pow(10.0, -static_cast<double>(i) / 7);
        cos_->set(0, p, i, static_cast<float>(std::cos(angle)));
        sin_->set(0, p, i, static_cast<float>(std::sin(angle)));
      }
    }
    table = {cos_->tensor, sin_->tensor, interleaved};
  }
  RopeTable table;

 private:
  std::unique_ptr<Array> cos_, sin_;
};

// Two products and a sum: 3u (|a| + |b|), with |a|, |b| at most the largest value of the head.
std::function<double(int64_t, int64_t, int64_t)> rope_bound(const Array& want, double largest) {
  return [&want, largest](int64_t p, int64_t r, int64_t c) {
    return test::with_output(want, p, r, c, 6 * kU * largest);
  };
}

TEST_P(Rope, Queries) {
  const std::vector<int32_t> positions = {0, 1, 2, 29, 11, 11, 30};
  for (const RopeCase& shape : kRopeCases) {
    make_table(31, shape.rotated / 2, shape.interleaved);
    const int64_t columns = shape.heads * shape.head_size;
    Array q(DType::kF32, 7, columns), want(dtype, 7, columns), got(dtype, 7, columns);
    q.fill(bf16_values());
    reference->rope(q.tensor, shape.head_size, table, positions, want.tensor);
    for (const auto& wide : in_wide_types(q)) {
      backend->rope(wide->tensor, shape.head_size, table, positions, got.tensor);
      test::expect_close(
          fmt::format("rope {} heads of {}, {} rotated, {}, from {}", shape.heads, shape.head_size,
                      shape.rotated, shape.interleaved ? "interleaved" : "halves",
                      dtype_name(wide->tensor.dtype)),
          want, got, rope_bound(want, 5));
    }
  }
}

TEST_P(Rope, StoreWritesItsSlotsOnly) {
  const std::vector<int32_t> positions = {4, 5, 30};
  for (const RopeCase& shape : kRopeCases) {
    make_table(31, shape.rotated / 2, shape.interleaved);
    const int64_t h = shape.heads, d = shape.head_size, slots = 9;
    Array kv(DType::kF32, 3, 2 * h * d);
    Array want_k(dtype, h, slots, d), want_v(dtype, h, slots, d), k(dtype, h, slots, d),
        v(dtype, h, slots, d);
    kv.fill(bf16_values());
    for (Array* array : {&want_k, &want_v}) array->fill([] { return 0.25f; });
    reference->rope_store(kv.tensor, table, positions, {want_k.tensor, want_v.tensor, 7}, 4);
    for (const auto& wide : in_wide_types(kv)) {
      for (Array* array : {&k, &v}) array->fill([] { return 0.25f; });
      backend->rope_store(wide->tensor, table, positions, {k.tensor, v.tensor, 7}, 4);
      const std::string what = fmt::format("rope_store {} heads of {}, {} rotated, from {}", h, d,
                                           shape.rotated, dtype_name(wide->tensor.dtype));
      test::expect_close(what + ", K", want_k, k, rope_bound(want_k, 5));
      test::expect_close(what + ", V", want_v, v, [](int64_t, int64_t, int64_t) { return 0.0; });
      for (int64_t slot : {0, 3, 7, 8})
        EXPECT_EQ(k.get(h - 1, slot, d - 1), 0.25f) << what << ", slot " << slot;
    }
  }
}

// Compares the bits of one fused operation with those of two.
TEST_P(Rope, OfALinearLayer) {
  constexpr int64_t kRows = 103, kInputs = 62, kSlots = 110;
  std::vector<int32_t> positions(kRows);
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i * 7 % 31);
  for (const RopeCase& shape : kRopeCases) {
    make_table(31, shape.rotated / 2, shape.interleaved);
    const int64_t h = shape.heads, d = shape.head_size;
    std::vector<float> values(usize(2 * h * d * kInputs));
    for (float& value : values) value = random.normal();
    const auto fill = [&values](int64_t first, int64_t count, float* rows) {
      std::copy_n(values.begin() + first * kInputs, count * kInputs, rows);
    };
    const auto q = backend->prepare({h * d, kInputs, false, fill}),
               kv = backend->prepare({2 * h * d, kInputs, false, fill});
    Array x(dtype, kRows, kInputs), wide(backend->traits().wide, kRows, 2 * h * d);
    x.fill(random.source());
    const Tensor wide_q = Tensor::matrix(wide.tensor.data, wide.tensor.dtype, kRows, h * d);
    Array want(dtype, kRows, h * d), got(dtype, kRows, h * d);
    backend->linear(x.tensor, *q, wide_q, false);
    backend->rope(wide_q, d, table, positions, want.tensor);
    backend->linear_rope(x.tensor, *q, wide_q, d, table, positions, got.tensor);
    const std::string what = fmt::format("{} heads of {}, {} rotated", h, d, shape.rotated);
    EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0) << what;

    Array want_k(dtype, h, kSlots, d), want_v(dtype, h, kSlots, d), k(dtype, h, kSlots, d),
        v(dtype, h, kSlots, d);
    for (Array* array : {&want_k, &want_v, &k, &v}) array->fill([] { return 0.25f; });
    backend->linear(x.tensor, *kv, wide.tensor, false);
    backend->rope_store(wide.tensor, table, positions, {want_k.tensor, want_v.tensor, kSlots}, 4);
    backend->linear_rope_store(x.tensor, *kv, wide.tensor, table, positions, {k.tensor, v.tensor, kSlots}, 4);
    EXPECT_EQ(std::memcmp(want_k.bytes(), k.bytes(), k.tensor.bytes()), 0) << what << ", K";
    EXPECT_EQ(std::memcmp(want_v.bytes(), v.bytes(), v.tensor.bytes()), 0) << what << ", V";
  }
}

CLAA_EVERY_DEVICE(Dense);
CLAA_EVERY_DEVICE(Rope);

}  // namespace
}  // namespace claa
