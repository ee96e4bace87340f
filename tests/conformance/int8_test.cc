// dtype int8 of the cpu: linear layers and attention against exact sums, with bounds derived from what is
// rounded.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "backend/activation.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/int_kernels.h"
#include "conformance/backend_support.h"

namespace claa {
namespace {

using test::Array;

std::unique_ptr<Backend> make_int8(const std::string& isa, int threads = 2) {
  BackendOptions options{"cpu", DType::kBF16, threads, isa};
  options.int8 = true;
  return make_backend(options);
}

// The parameter is the cap on the instruction set.
class Int8 : public testing::TestWithParam<std::string> {
 protected:
  Int8() : backend(make_int8(GetParam())), random(4) {}
  void check_linear(int64_t rows, int64_t outputs, int64_t inputs, DType x_type, bool accumulate);
  void check_attention(int64_t kv_heads, int64_t group, int64_t head_size, int64_t length);
  std::unique_ptr<Backend> backend;
  test::Random random;
};

struct Case {
  Case(int64_t kv_heads, int64_t group, int64_t head_size, int64_t length, int64_t rows)
      : q(DType::kBF16, rows, kv_heads * group * head_size),
        k(DType::kBF16, kv_heads, length, head_size),
        v(DType::kBF16, kv_heads, length, head_size),
        view{k.tensor, v.tensor, length},
        out(DType::kBF16, rows, kv_heads * group * head_size) {}
  void run(Backend& on, std::span<const int32_t> visible) {
    std::unique_ptr<PackedKv> packed;
    on.pack_kv(view, packed);
    on.attention(q.tensor, view, packed.get(), visible, out.tensor);
  }
  Array q, k, v;
  KvView view;
  Array out;
};

// Half a step of 8 bits at every element of a row, whose groups have one scale each.
std::vector<double> half_steps(const std::vector<double>& row, int64_t group) {
  std::vector<double> steps(row.size());
  for (size_t first = 0; first < row.size(); first += static_cast<size_t>(group)) {
    const size_t end = std::min(row.size(), first + static_cast<size_t>(group));
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
      : values_(static_cast<size_t>(rows * columns)),
        scales_(static_cast<size_t>(rows * ((columns + group - 1) / group))) {
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

void Int8::check_linear(int64_t rows, int64_t outputs, int64_t inputs, DType x_type, bool accumulate) {
  std::vector<float> weights(static_cast<size_t>(outputs * inputs));
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
  const auto n = static_cast<size_t>(inputs);
  const int64_t group = gated ? kI8GatedGroup : kI8Group;
  std::vector<std::vector<double>> w(static_cast<size_t>(outputs)), w_steps;
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

TEST_P(Int8, LinearOverShapes) {
  for (const int64_t rows : {1, 5, 12, 97}) {
    for (const auto& [outputs, inputs] : {std::pair{32, 4}, {64, 128}, {33, 61}, {7, 129}, {96, 576}}) {
      for (const bool accumulate : {false, true}) {
        check_linear(rows, outputs, inputs, DType::kF32, accumulate);
        check_linear(rows, outputs, inputs, DType::kBF16, accumulate);
      }
    }
  }
}

TEST_P(Int8, RowsOfZerosStayZero) {
  const auto packed = backend->prepare(
      {16, 64, false, [](int64_t, int64_t count, float* to) { std::fill_n(to, count * 64, 0.5f); }});
  Array x(DType::kBF16, 4, 64), out(DType::kF32, 4, 16);
  x.fill([] { return 0.0f; });
  backend->linear(x.tensor, *packed, out.tensor, false);
  for (int64_t o = 0; o < 16; ++o) EXPECT_EQ(out.get(0, 3, o), 0.0f);
}

// Finer types would pass the bounds above: the products are those of integers.
TEST_P(Int8, MultipliesIntegers) {
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

  Case in(1, 2, 64, 64, 8);
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
TEST_P(Int8, FusedOperationsChangeNoBits) {
  for (const auto& [hidden, ffn, head_size] : {std::tuple{576, 1536, 64}, {64, 96, 40}, {132, 128, 32}}) {
    for (const int64_t rows : {1, 5, 97, 211}) {
      const int64_t heads = 3, kv_size = 2 * heads * head_size;
      const auto weight = [&](int64_t outputs, int64_t inputs, bool gated) {
        std::vector<float> values(static_cast<size_t>(outputs * inputs));
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
      std::vector<int32_t> positions(static_cast<size_t>(rows));
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
      Case want(heads, 1, head_size, rows, 1), got(heads, 1, head_size, rows, 1);
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
TEST_P(Int8, ThreadsChangeNoBits) {
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
      const auto other = make_int8(GetParam(), threads);
      other->linear(x.tensor, *other->prepare(source), got.tensor, false);
      EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0) << rows << ", " << threads;
    }
  }
}

TEST_P(Int8, RoundedRowsMustBeMadeForTheirWeight) {
  const auto weight = backend->prepare(
      {16, 128, false, [](int64_t, int64_t count, float* to) { std::fill_n(to, count * 128, 0.5f); }});
  Rounded x(2, 128, kI8GatedGroup);
  Array out(DType::kF32, 2, 16);
  EXPECT_THROW(backend->linear(x.tensor, *weight, out.tensor, false), Error);
}

// The vocabulary's table keeps bf16: embeddings come back as they are.
TEST_P(Int8, TablesKeepTheirValues) {
  const auto table = backend->prepare({5, 8, true, [](int64_t first, int64_t count, float* to) {
                                         for (int64_t i = 0; i < count * 8; ++i)
                                           to[i] = 0.25f * static_cast<float>(first * 8 + i);
                                       }});
  Array out(DType::kF32, 2, 8);
  backend->embed(*table, std::vector<int32_t>{4, 1}, out.tensor);
  EXPECT_EQ(out.get(0, 0, 3), 0.25f * 35);
  EXPECT_EQ(out.get(0, 1, 0), 0.25f * 8);
}

double largest_of(const Array& array) {
  double largest = 0;
  for (int64_t p = 0; p < array.tensor.planes(); ++p) {
    for (int64_t r = 0; r < array.tensor.rows(); ++r) {
      for (int64_t c = 0; c < array.tensor.columns(); ++c) {
        largest = std::max<double>(largest, std::abs(array.get(p, r, c)));
      }
    }
  }
  return largest;
}

// With D the worst error of a logit, every probability is off by a factor of at most e^D and so is their
// sum; a block's 128 probabilities lose half a step of 1/255 of its largest each; values half of 1/127.
void Int8::check_attention(int64_t kv_heads, int64_t group, int64_t head_size, int64_t length) {
  Case in(kv_heads, group, head_size, length, length), want(kv_heads, group, head_size, length, length);
  for (Array* array : {&in.q, &in.k, &in.v}) array->fill(random.source());
  std::memcpy(want.q.tensor.data, in.q.tensor.data, in.q.tensor.bytes());
  std::memcpy(want.k.tensor.data, in.k.tensor.data, in.k.tensor.bytes());
  std::memcpy(want.v.tensor.data, in.v.tensor.data, in.v.tensor.bytes());
  std::vector<int32_t> visible(static_cast<size_t>(length));
  std::iota(visible.begin(), visible.end(), 1);
  in.run(*backend, visible);
  want.run(*test::make_reference(DType::kBF16), visible);
  const double q = largest_of(in.q), k = largest_of(in.k), v = largest_of(in.v);
  const double d = static_cast<double>(head_size);
  // sum |q_i| k / 254 + |k_i| q / 254 + q k / 254^2 over the head, |q_i| and |k_i| at most their largest.
  const double logit = (2 * q * k / 254 + q * k / (254.0 * 254.0)) * d / std::sqrt(d);
  const double bound = v * (std::expm1(2 * logit) + 128.0 / 510 + 1.0 / 254 + 1e-4);
  double squares = 0, errors = 0;
  for (int64_t r = 0; r < length; ++r) {
    for (int64_t c = 0; c < in.out.tensor.columns(); ++c) {
      const double error = std::abs(in.out.get(0, r, c) - want.out.get(0, r, c));
      ASSERT_LE(error, bound + test::bf16_ulp(want.out.get(0, r, c)))
          << head_size << ", " << length << " at " << r;
      squares += std::pow(want.out.get(0, r, c), 2), errors += error * error;
    }
  }
  // Roundings are independent: 8 bits of q and k shift logits by 0.01 (standard normal values).
  EXPECT_LE(std::sqrt(errors / squares), 0.02) << "head size " << head_size << ", " << length << " tokens";
}

TEST_P(Int8, AttentionOverShapes) {
  for (const int64_t head_size : {6, 24, 40, 64, 80, 96, 128}) check_attention(2, 3, head_size, 67);
  for (const int64_t length : {7, 33, 127, 128, 129, 300}) check_attention(1, 4, 64, length);
  check_attention(1, 16, 16, 150);
}

// A head too large for one scale of 8 bits is computed in bf16.
TEST_P(Int8, LargeHeadsStillWork) {
  check_attention(1, 2, 256, 40);
}

// One key with nearly all the weight and a thousand with little, which together weigh as much.
TEST_P(Int8, ALongTailCounts) {
  constexpr int64_t kLength = 1025, kHead = 64;
  Case in(1, 1, kHead, kLength, 8), want(1, 1, kHead, kLength, 8);
  for (Case* c : {&in, &want}) {
    c->q.fill([] { return 1.0f; });
    for (int64_t t = 0; t < kLength; ++t) {
      // Logits: 8 * k / 1; ln(1024) apart.
      for (int64_t i = 0; i < kHead; ++i) {
        c->k.set(0, t, i, t == 0 ? 0.8666f : 0.0f), c->v.set(0, t, i, t == 0 ? 0.0f : 1.0f);
      }
    }
  }
  const std::vector<int32_t> visible(8, kLength);
  in.run(*backend, visible);
  want.run(*test::make_reference(DType::kBF16), visible);
  EXPECT_NEAR(want.out.get(0, 0, 0), 0.5, 0.02);
  // The first block holds a key of weight 1 beside 127 of 1/1024; the others have their own scale.
  EXPECT_NEAR(in.out.get(0, 0, 0), want.out.get(0, 0, 0), 0.005);
}

TEST_P(Int8, ValuesOfZeroKeepTheirWeight) {
  Case in(1, 1, 64, 40, 8);
  in.q.fill([] { return 0.0f; });
  in.k.fill(random.source());
  for (int64_t t = 0; t < 40; ++t) {
    for (int64_t i = 0; i < 64; ++i) in.v.set(0, t, i, t % 2 == 0 ? 0.0f : 1.0f);
  }
  in.run(*backend, std::vector<int32_t>(8, 40));
  EXPECT_NEAR(in.out.get(0, 0, 5), 0.5, 0.005);
}

TEST_P(Int8, LaterTokensNeverChangeEarlierRows) {
  constexpr int64_t kLength = 300, kHead = 24;
  Case in(2, 3, kHead, kLength, kLength);
  for (Array* array : {&in.q, &in.k, &in.v}) array->fill(random.source());
  std::vector<int32_t> visible(kLength);
  std::iota(visible.begin(), visible.end(), 1);
  in.run(*backend, visible);
  std::vector<char> before(in.out.tensor.bytes());
  std::memcpy(before.data(), in.out.bytes(), before.size());
  for (const int64_t first : {299, 257, 200, 128, 127, 3}) {
    for (int64_t t = first; t < kLength; ++t) {
      for (int64_t h = 0; h < 2; ++h) {
        for (int64_t i = 0; i < kHead; ++i) {
          in.k.set(h, t, i, 50 * random.normal()), in.v.set(h, t, i, t % 2 == 0 ? 1e30f : 1e-30f);
        }
      }
    }
    in.run(*backend, visible);
    const size_t same = static_cast<size_t>(first * in.out.tensor.columns()) * 2;
    EXPECT_EQ(std::memcmp(before.data(), in.out.bytes(), same), 0) << "a row before " << first << " changed";
  }
}

// Bit for bit: with many rows in a call tiles are large, with few they are small and start elsewhere.
TEST_P(Int8, NoRowDependsOnTheOthersOfItsCall) {
  constexpr int64_t kRows = 400;
  Case in(3, 3, 64, kRows, kRows);
  for (Array* array : {&in.q, &in.k, &in.v}) array->fill(random.source());
  std::vector<int32_t> visible(kRows);
  std::iota(visible.begin(), visible.end(), 1);
  in.run(*backend, visible);
  std::unique_ptr<PackedKv> packed;
  backend->pack_kv(in.view, packed);
  Array parts(DType::kBF16, kRows, in.q.tensor.columns());
  test::attention_in_parts(*backend, in.q.tensor, in.view, *packed, visible, 37, parts.tensor);
  EXPECT_EQ(std::memcmp(in.out.bytes(), parts.bytes(), parts.tensor.bytes()), 0);
}

// Scores choose tokens, so they are those of bf16.
TEST_P(Int8, WindowScoresAreThoseOfBf16) {
  Case in(2, 3, 64, 200, 8);
  for (Array* array : {&in.q, &in.k, &in.v}) array->fill(random.source());
  ScoreSpec spec;
  spec.window = 8;
  const auto bf16 = make_backend({"cpu", DType::kBF16, 2, GetParam()});
  Array want(DType::kF32, score_rows(spec, 6, 2), score_tokens(spec, 200));
  Array got(DType::kF32, want.tensor.rows(), want.tensor.columns());
  std::unique_ptr<PackedKv> packed, packed_int8;
  bf16->pack_kv(in.view, packed);
  bf16->window_scores(in.q.tensor, in.view, packed.get(), spec, want.tensor);
  backend->pack_kv(in.view, packed_int8);
  backend->window_scores(in.q.tensor, in.view, packed_int8.get(), spec, got.tensor);
  EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0);
}

std::vector<std::string> caps() {
  std::vector<std::string> listed = {"", "avx512", "avx2"};
  std::erase_if(listed, [](const std::string& isa) {
    return !test::is_a_device_of_its_own({"cpu", DType::kBF16, 1, isa});
  });
  return listed;
}
INSTANTIATE_TEST_SUITE_P(Isa, Int8, testing::ValuesIn(caps()),
                         [](const auto& info) { return info.param.empty() ? "best" : info.param; });

TEST(Int8Options, NeedTheCpu) {
  EXPECT_THROW(backend_options("reference", "int8", 0, ""), Error);
  EXPECT_TRUE(backend_options("cpu", "int8", 0, "").int8);
}

}  // namespace
}  // namespace claa
