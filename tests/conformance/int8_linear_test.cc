// dtype int8 of the cpu: linear layers, and what writes rows for them, against exact sums, with bounds
// derived from what is rounded.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/activation.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/int_kernels.h"
#include "conformance/int8_support.h"
#include "core/usize.h"

namespace claa {
namespace {

using test::Array;
using test::AttentionCase;

class Int8Linear : public test::Int8Test {
 protected:
  void check_linear(int64_t rows, int64_t outputs, int64_t inputs, DType x_type, bool accumulate);
};

// Half a step of 8 bits at every element of a row, whose groups have one scale each.
std::vector<double> half_steps(const std::vector<double>& row, int64_t group) {
  std::vector<double> steps(row.size());
  for (size_t first = 0; first < row.size(); first += usize(group)) {
    const size_t end = std::min(row.size(), first + usize(group));
    double largest = 0;
    for (size_t i = first; i < end; ++i) largest = std::max(largest, std::abs(row[i]));
    std::fill(steps.begin() + static_cast<int64_t>(first), steps.begin() + static_cast<int64_t>(end),
              largest / 254 * (1 + 1e-5));
  }
  return steps;
}

// Rows of 8 bits with their scales, as rms_norm() and gate() write them.
class Rounded {
 public:
  Rounded(int64_t rows, int64_t columns, int64_t group)
      : values_(usize(rows * columns)), scales_(usize(rows * ((columns + group - 1) / group))) {
    tensor = Tensor::matrix(values_.data(), DType::kI8, rows, columns);
    tensor.scales = scales_.data();
    tensor.row_scales = (columns + group - 1) / group;
  }
  bool equals(const Rounded& other) const { return values_ == other.values_ && scales_ == other.scales_; }
  Tensor tensor;

 private:
  std::vector<uint8_t> values_;
  std::vector<float> scales_;
};

void Int8Linear::check_linear(int64_t rows, int64_t outputs, int64_t inputs, DType x_type, bool accumulate) {
  std::vector<float> weights(usize(outputs * inputs));
  for (float& value : weights) value = random.normal();
  const bool gated = inputs > outputs;
  const auto packed = backend->prepare({outputs, inputs, false,
                                        [&](int64_t first, int64_t count, float* to) {
                                          std::copy_n(weights.begin() + first * inputs, count * inputs, to);
                                        },
                                        gated});
  Array x(x_type, rows, inputs), out(DType::kF32, rows, outputs), before(DType::kF32, rows, outputs);
  // One channel far larger than the rest, as real activations have.
  x.fill(random.source());
  for (int64_t r = 0; r < rows; ++r) x.set(0, r, inputs / 2, 100);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      const float value = random.normal();
      out.set(0, r, o, value), before.set(0, r, o, value);
    }
  }
  backend->linear(x.tensor, *packed, out.tensor, accumulate);
  const auto n = usize(inputs);
  const int64_t group = gated ? kI8GatedGroup : kI8Group;
  std::vector<std::vector<double>> w(usize(outputs)), w_steps;
  for (size_t o = 0; o < w.size(); ++o) {
    w[o].assign(weights.begin() + static_cast<int64_t>(o * n),
                weights.begin() + static_cast<int64_t>((o + 1) * n));
    w_steps.push_back(half_steps(w[o], group));
  }
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> row(n);
    for (size_t i = 0; i < n; ++i) row[i] = x.get(0, r, static_cast<int64_t>(i));
    const std::vector<double> steps = half_steps(row, group);
    for (size_t o = 0; o < w.size(); ++o) {
      const auto column = static_cast<int64_t>(o);
      double sum = accumulate ? before.get(0, r, column) : 0, bound = 1e-5 * std::abs(sum);
      for (size_t i = 0; i < n; ++i) {
        sum += row[i] * w[o][i];
        bound += std::abs(row[i]) * (w_steps[o][i] + 1e-5 * std::abs(w[o][i])) +
                 std::abs(w[o][i]) * steps[i] + steps[i] * w_steps[o][i];
      }
      ASSERT_LE(std::abs(out.get(0, r, column) - sum), bound)
          << rows << " x " << outputs << " x " << inputs << " at " << r << ", " << o;
    }
  }
}

TEST_P(Int8Linear, OverShapes) {
  for (const int64_t rows : {1, 5, 12, 97}) {
    for (const auto& [outputs, inputs] : {std::pair{32, 4}, {64, 128}, {33, 61}, {7, 129}, {96, 576}}) {
      for (const bool accumulate : {false, true}) {
        check_linear(rows, outputs, inputs, DType::kF32, accumulate);
        check_linear(rows, outputs, inputs, DType::kBF16, accumulate);
      }
    }
  }
}

TEST_P(Int8Linear, RowsOfZerosStayZero) {
  const auto packed = backend->prepare(
      {16, 64, false, [](int64_t, int64_t count, float* to) { std::fill_n(to, count * 64, 0.5f); }});
  Array x(DType::kBF16, 4, 64), out(DType::kF32, 4, 16);
  x.fill([] { return 0.0f; });
  backend->linear(x.tensor, *packed, out.tensor, false);
  for (int64_t o = 0; o < 16; ++o) EXPECT_EQ(out.get(0, 3, o), 0.0f);
}

// Finer types would pass the bounds above: the products are those of integers.
TEST_P(Int8Linear, MultipliesIntegers) {
  EXPECT_NE(backend->description().find("int8"), std::string::npos);
  std::vector<float> weights(96 * 576);
  for (float& value : weights) value = random.normal();
  const WeightSource source{96, 576, false, [&weights](int64_t first, int64_t count, float* to) {
                              std::copy_n(weights.begin() + first * 576, count * 576, to);
                            }};
  const auto weight = backend->prepare(source);
  EXPECT_LT(weight->bytes, 96u * 576u * 5 / 4);  // one byte per weight, and the scales
  // Values below half a step beside the largest of their group vanish.
  Array x(DType::kBF16, 1, 576), out(DType::kF32, 1, 96);
  x.fill([] { return 0.0f; });
  x.set(0, 0, 0, 100), x.set(0, 0, 1, 0.25f);
  backend->linear(x.tensor, *weight, out.tensor, false);
  const float with = out.get(0, 0, 0);
  x.set(0, 0, 1, 0);
  backend->linear(x.tensor, *weight, out.tensor, false);
  EXPECT_EQ(out.get(0, 0, 0), with);

  AttentionCase in(1, 2, 64, 64, 8);
  for (Array* array : {&in.q, &in.k, &in.v}) array->fill(random.source());
  for (int64_t t = 0; t < 64; ++t) in.k.set(0, t, 0, 100), in.k.set(0, t, 1, 0.25f);
  const std::vector<int32_t> visible(8, 64);
  in.run(*backend, visible);
  std::vector<char> before(in.out.tensor.bytes());
  std::memcpy(before.data(), in.out.bytes(), before.size());
  for (int64_t t = 0; t < 64; t += 2) in.k.set(0, t, 1, 0);
  in.run(*backend, visible);
  EXPECT_EQ(std::memcmp(before.data(), in.out.bytes(), before.size()), 0);
}

// Norms and gates write rows that are rounded already, and queries, keys, values and gates come from one
// operation each: the bits are those of one operation after another by way of bf16.
TEST_P(Int8Linear, FusedOperationsChangeNoBits) {
  for (const auto& [hidden, ffn, head_size] : {std::tuple{576, 1536, 64}, {64, 96, 40}, {132, 128, 32}}) {
    for (const int64_t rows : {1, 5, 97, 211}) {
      const int64_t heads = 3, kv_size = 2 * heads * head_size;
      const auto weight = [&](int64_t outputs, int64_t inputs, bool gated) {
        std::vector<float> values(usize(outputs * inputs));
        for (float& value : values) value = random.normal();
        return backend->prepare({outputs, inputs, false,
                                 [&values, inputs](int64_t first, int64_t count, float* to) {
                                   std::copy_n(values.begin() + first * inputs, count * inputs, to);
                                 },
                                 gated});
      };
      const auto q = weight(heads * head_size, hidden, false), kv = weight(kv_size, hidden, false),
                 gate_up = weight(2 * ffn, hidden, false), down = weight(hidden, ffn, true);
      Array x(DType::kF32, rows, hidden), norm(DType::kF32, 1, hidden), bf16(DType::kBF16, rows, hidden);
      x.fill(random.source()), norm.fill(random.source());
      Rounded rounded(rows, hidden, kI8Group);
      backend->rms_norm(x.tensor, norm.tensor, 1e-5f, bf16.tensor);
      backend->rms_norm(x.tensor, norm.tensor, 1e-5f, rounded.tensor);

      Array cos(DType::kF32, 7, head_size / 2), sin(DType::kF32, 7, head_size / 2);
      cos.fill(random.source()), sin.fill(random.source());
      const RopeTable table{cos.tensor, sin.tensor, true};
      std::vector<int32_t> positions(usize(rows));
      for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i % 7);
      const auto same = [&](const Array& want, const Array& got) {
        EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0) << hidden << ", " << rows;
      };
      Array wide_q(DType::kF32, rows, heads * head_size), want_q(DType::kBF16, rows, heads * head_size),
          got_q(DType::kBF16, rows, heads * head_size);
      backend->linear(bf16.tensor, *q, wide_q.tensor, false);
      backend->rope(wide_q.tensor, head_size, table, positions, want_q.tensor);
      backend->linear_rope(rounded.tensor, *q, wide_q.tensor, head_size, table, positions, got_q.tensor);
      same(want_q, got_q);

      Array wide(DType::kF32, rows, kv_size);
      AttentionCase want(heads, 1, head_size, rows, 1), got(heads, 1, head_size, rows, 1);
      backend->linear(bf16.tensor, *kv, wide.tensor, false);
      backend->rope_store(wide.tensor, table, positions, want.view, 0);
      backend->linear_rope_store(rounded.tensor, *kv, wide.tensor, table, positions, got.view, 0);
      same(want.k, got.k), same(want.v, got.v);

      Array wide_gates(DType::kF32, rows, 2 * ffn), gated(DType::kBF16, rows, ffn);
      Rounded want_gated(rows, ffn, kI8GatedGroup), got_gated(rows, ffn, kI8GatedGroup);
      backend->linear(bf16.tensor, *gate_up, wide_gates.tensor, false);
      backend->gate(wide_gates.tensor, Activation::kSilu, gated.tensor);
      backend->gate(wide_gates.tensor, Activation::kSilu, want_gated.tensor);
      backend->linear_gate(rounded.tensor, *gate_up, Activation::kSilu, wide_gates.tensor, got_gated.tensor);
      EXPECT_TRUE(want_gated.equals(got_gated)) << hidden << ", " << rows;

      Array want_out(DType::kF32, rows, hidden), got_out(DType::kF32, rows, hidden);
      backend->linear(gated.tensor, *down, want_out.tensor, false);
      backend->linear(got_gated.tensor, *down, got_out.tensor, false);
      same(want_out, got_out);
    }
  }
}

// Threads share rows, or panels where rows are few.
TEST_P(Int8Linear, ThreadsChangeNoBits) {
  std::vector<float> weights(200 * 64);
  for (float& value : weights) value = random.normal();
  const WeightSource source{200, 64, false, [&weights](int64_t first, int64_t count, float* to) {
                              std::copy_n(weights.begin() + first * 64, count * 64, to);
                            }};
  for (const int64_t rows : {1, 5, 100, 300, 700}) {
    Array x(DType::kBF16, rows, 64), want(DType::kF32, rows, 200), got(DType::kF32, rows, 200);
    x.fill(random.source());
    backend->linear(x.tensor, *backend->prepare(source), want.tensor, false);
    for (const int threads : {1, 3, 4, 6}) {
      const auto other = test::make_int8(GetParam(), threads);
      other->linear(x.tensor, *other->prepare(source), got.tensor, false);
      EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0) << rows << ", " << threads;
    }
  }
}

TEST_P(Int8Linear, RoundedRowsMustBeMadeForTheirWeight) {
  const auto weight = backend->prepare(
      {16, 128, false, [](int64_t, int64_t count, float* to) { std::fill_n(to, count * 128, 0.5f); }});
  Rounded x(2, 128, kI8GatedGroup);
  Array out(DType::kF32, 2, 16);
  EXPECT_THROW(backend->linear(x.tensor, *weight, out.tensor, false), Error);
}

// The vocabulary's table keeps bf16: embeddings come back as they are.
TEST_P(Int8Linear, TablesKeepTheirValues) {
  const auto table = backend->prepare({5, 8, true, [](int64_t first, int64_t count, float* to) {
                                         for (int64_t i = 0; i < count * 8; ++i)
                                           to[i] = 0.25f * static_cast<float>(first * 8 + i);
                                       }});
  Array out(DType::kF32, 2, 8);
  backend->embed(*table, std::vector<int32_t>{4, 1}, 1, out.tensor);
  EXPECT_EQ(out.get(0, 0, 3), 0.25f * 35);
  EXPECT_EQ(out.get(0, 1, 0), 0.25f * 8);
}

CLAA_EVERY_ISA(Int8Linear);

TEST(Int8Options, NeedTheCpu) {
  EXPECT_THROW(backend_options("reference", "int8", 0, ""), Error);
  EXPECT_TRUE(backend_options("cpu", "int8", 0, "").int8);
}

}  // namespace
}  // namespace claa
