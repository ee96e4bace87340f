// dtype int8 of the cpu: attention against the reference, with bounds derived from what is rounded.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "conformance/int8_support.h"
#include "core/usize.h"

namespace claa {
namespace {

using test::Array;
using test::AttentionCase;

class Int8Attention : public test::Int8Test {
 protected:
  void check_attention(int64_t kv_heads, int64_t group, int64_t head_size, int64_t length);
};

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
void Int8Attention::check_attention(int64_t kv_heads, int64_t group, int64_t head_size, int64_t length) {
  AttentionCase in(kv_heads, group, head_size, length, length),
      want(kv_heads, group, head_size, length, length);
  for (Array* array : {&in.q, &in.k, &in.v}) array->fill(random.source());
  std::memcpy(want.q.tensor.data, in.q.tensor.data, in.q.tensor.bytes());
  std::memcpy(want.k.tensor.data, in.k.tensor.data, in.k.tensor.bytes());
  std::memcpy(want.v.tensor.data, in.v.tensor.data, in.v.tensor.bytes());
  std::vector<int32_t> visible(usize(length));
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

TEST_P(Int8Attention, OverShapes) {
  for (const int64_t head_size : {6, 24, 40, 64, 80, 96, 128}) check_attention(2, 3, head_size, 67);
  for (const int64_t length : {7, 33, 127, 128, 129, 300}) check_attention(1, 4, 64, length);
  check_attention(1, 16, 16, 150);
}

// A head too large for one scale of 8 bits is computed in bf16.
TEST_P(Int8Attention, LargeHeadsStillWork) {
  check_attention(1, 2, 256, 40);
}

// One key with nearly all the weight and a thousand with little, which together weigh as much.
TEST_P(Int8Attention, ALongTailCounts) {
  constexpr int64_t kLength = 1025, kHead = 64;
  AttentionCase in(1, 1, kHead, kLength, 8), want(1, 1, kHead, kLength, 8);
  for (AttentionCase* c : {&in, &want}) {
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

// Forty keys of equal logits l, and sinks of l + ln 40, of l + 200 and of l - 200.
TEST_P(Int8Attention, SinksTakeTheirShare) {
  constexpr float kLogit = 8;
  AttentionCase in(1, 3, 64, 40, 8);
  Array sinks(DType::kF32, 1, 3);
  for (int64_t h = 0; h < 3; ++h) {
    const std::array<float, 3> above = {std::log(40.0f), 200, -200};
    sinks.set(0, 0, h, kLogit + above[usize(h)]);
  }
  for (Array* array : {&in.q, &in.k, &in.v}) array->fill([] { return 1.0f; });
  in.rule.sinks = sinks.tensor;
  in.run(*backend, std::vector<int32_t>(8, 40));
  EXPECT_NEAR(in.out.get(0, 7, 5), 0.5, 0.005);
  EXPECT_EQ(in.out.get(0, 7, 64 + 5), 0);
  EXPECT_NEAR(in.out.get(0, 7, 128 + 5), 1, 0.01);
}

// Capped logits are not for integers: such layers are computed in bf16, beside others in the same memory.
TEST_P(Int8Attention, CappedLayersAlternateWithOthers) {
  AttentionCase in(2, 3, 64, 150, 150);
  for (Array* array : {&in.q, &in.k, &in.v}) array->fill(random.source());
  std::vector<int32_t> visible(150);
  std::iota(visible.begin(), visible.end(), 1);
  const auto bf16 = make_backend({"cpu", DType::kBF16, 2, GetParam()});
  std::unique_ptr<PackedKv> packed;
  Array want(DType::kBF16, 150, in.q.tensor.columns());
  for (const float cap : {0.0f, 2.0f, 0.0f, 2.0f}) {
    in.rule.soft_cap = cap;
    backend->pack_kv(in.view, in.rule, packed);
    backend->attention(in.q.tensor, in.view, packed.get(), visible, in.rule, in.out.tensor);
    if (cap == 0) continue;
    std::unique_ptr<PackedKv> plain;
    bf16->pack_kv(in.view, in.rule, plain);
    bf16->attention(in.q.tensor, in.view, plain.get(), visible, in.rule, want.tensor);
    EXPECT_EQ(std::memcmp(want.bytes(), in.out.bytes(), want.tensor.bytes()), 0);
  }
}

TEST_P(Int8Attention, ValuesOfZeroKeepTheirWeight) {
  AttentionCase in(1, 1, 64, 40, 8);
  in.q.fill([] { return 0.0f; });
  in.k.fill(random.source());
  for (int64_t t = 0; t < 40; ++t) {
    for (int64_t i = 0; i < 64; ++i) in.v.set(0, t, i, t % 2 == 0 ? 0.0f : 1.0f);
  }
  in.run(*backend, std::vector<int32_t>(8, 40));
  EXPECT_NEAR(in.out.get(0, 0, 5), 0.5, 0.005);
}

TEST_P(Int8Attention, LaterTokensNeverChangeEarlierRows) {
  constexpr int64_t kLength = 300, kHead = 24;
  AttentionCase in(2, 3, kHead, kLength, kLength);
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
    const size_t same = usize(first * in.out.tensor.columns()) * 2;
    EXPECT_EQ(std::memcmp(before.data(), in.out.bytes(), same), 0) << "a row before " << first << " changed";
  }
}

// Bit for bit: with many rows in a call tiles are large, with few they are small and start elsewhere.
TEST_P(Int8Attention, NoRowDependsOnTheOthersOfItsCall) {
  constexpr int64_t kRows = 400;
  AttentionCase in(3, 3, 64, kRows, kRows);
  for (Array* array : {&in.q, &in.k, &in.v}) array->fill(random.source());
  std::vector<int32_t> visible(kRows);
  std::iota(visible.begin(), visible.end(), 1);
  in.run(*backend, visible);
  std::unique_ptr<PackedKv> packed;
  backend->pack_kv(in.view, {}, packed);
  Array parts(DType::kBF16, kRows, in.q.tensor.columns());
  test::attention_in_parts(*backend, in.q.tensor, in.view, *packed, visible, 37, parts.tensor);
  EXPECT_EQ(std::memcmp(in.out.bytes(), parts.bytes(), parts.tensor.bytes()), 0);
}

// Scores choose tokens, so they are those of bf16.
TEST_P(Int8Attention, WindowScoresAreThoseOfBf16) {
  AttentionCase in(2, 3, 64, 200, 8);
  for (Array* array : {&in.q, &in.k, &in.v}) array->fill(random.source());
  ScoreSpec spec;
  spec.window = 8;
  const auto bf16 = make_backend({"cpu", DType::kBF16, 2, GetParam()});
  Array want(DType::kF32, score_rows(spec, 6, 2), score_tokens(spec, 200));
  Array got(DType::kF32, want.tensor.rows(), want.tensor.columns());
  std::unique_ptr<PackedKv> packed, packed_int8;
  bf16->pack_kv(in.view, {}, packed);
  bf16->window_scores(in.q.tensor, in.view, packed.get(), spec, {}, want.tensor);
  backend->pack_kv(in.view, {}, packed_int8);
  backend->window_scores(in.q.tensor, in.view, packed_int8.get(), spec, {}, got.tensor);
  EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0);
}

CLAA_EVERY_ISA(Int8Attention);

}  // namespace
}  // namespace claa
