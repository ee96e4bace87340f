// Experts against the reference backend: who is chosen, and what the chosen make of a row.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "backend/cpu/onednn_weight.h"
#include "conformance/backend_support.h"
#include "core/usize.h"

namespace claa {
namespace {

using test::Array;
using test::kU;

struct Shape {
  int64_t experts, used, hidden, width, rows;
  Activation activation = Activation::kSilu;
  bool bias = false;
  std::string text() const {
    return fmt::format("{} of {} experts, hidden {}, width {}, {} rows, activation {}, bias {}", used,
                       experts, hidden, width, rows, static_cast<int>(activation), bias);
  }
};

// Values of one case; those of weights are shared by the backends that prepare them.
class Case {
 public:
  Case(const Shape& s, DType dtype, test::Random& random)
      : shape(s),
        x(dtype, s.rows, s.hidden),
        ids(DType::kI32, s.rows, s.used),
        weights(DType::kF32, s.rows, s.used),
        gate_up_bias(DType::kF32, s.experts, 2 * s.width),
        down_bias(DType::kF32, s.experts, s.hidden),
        hidden(DType::kF32, s.rows, s.hidden) {
    const auto draw = [&](std::vector<float>& values, int64_t inputs, int64_t count) {
      values.resize(usize(count));
      for (float& value : values) value = random.normal() / std::sqrt(static_cast<float>(inputs));
    };
    draw(gate_up, s.hidden, s.experts * 2 * s.width * s.hidden);
    draw(down, s.width, s.experts * s.hidden * s.width);
    for (Array* array : {&x, &gate_up_bias, &down_bias, &hidden}) array->fill(random.source());
    for (int64_t r = 0; r < s.rows; ++r) choose(r, random);
  }

  // hidden + what `on` adds to it.
  void run(Backend& on, Array& out) const {
    std::memcpy(out.tensor.data, hidden.tensor.data, hidden.tensor.bytes());
    const auto packed_gate_up = prepare(on, gate_up, 2 * shape.width, shape.hidden);
    const auto packed_down = prepare(on, down, shape.hidden, shape.width);
    Experts experts{*packed_gate_up, *packed_down, shape.activation};
    if (shape.bias) experts.gate_up_bias = gate_up_bias.tensor, experts.down_bias = down_bias.tensor;
    const int64_t rows = std::max(shape.rows, shape.used);
    const DType type = x.tensor.dtype;
    Array some(type, rows, shape.hidden), up(on.traits().wide, rows, 2 * shape.width),
        gated(type, rows, shape.width), sums(DType::kF32, rows, shape.hidden);
    on.mix_experts(x.tensor, experts, {ids.tensor, weights.tensor},
                   {some.tensor, up.tensor, gated.tensor, sums.tensor}, out.tensor);
  }

  const Shape shape;
  Array x, ids, weights, gate_up_bias, down_bias, hidden;
  std::vector<float> gate_up, down;

 private:
  // Any different experts, with weights that add up to one.
  void choose(int64_t row, test::Random& random) {
    std::vector<int32_t> all(usize(shape.experts));
    std::iota(all.begin(), all.end(), 0);
    float sum = 0;
    for (int64_t i = 0; i < shape.used; ++i) {
      const auto at =
          usize(i) + usize(std::llround(std::abs(random.normal()) * 1e4f)) % (all.size() - usize(i));
      std::swap(all[usize(i)], all[at]);
      ids.tensor.ptr<int32_t>(0, row)[i] = all[usize(i)];
      sum += weights.tensor.ptr<float>(0, row)[i] = 0.1f + std::abs(random.normal());
    }
    for (int64_t i = 0; i < shape.used; ++i) weights.tensor.ptr<float>(0, row)[i] /= sum;
  }
  std::unique_ptr<PackedExperts> prepare(Backend& on, const std::vector<float>& values, int64_t outputs,
                                         int64_t inputs) const {
    std::vector<WeightSource> sources;
    for (int64_t e = 0; e < shape.experts; ++e) {
      sources.push_back(
          {outputs, inputs, false, [&values, e, outputs, inputs](int64_t first, int64_t count, float* rows) {
             std::copy_n(values.begin() + (e * outputs + first) * inputs, count * inputs, rows);
           }});
    }
    return on.prepare_experts(sources);
  }
};

class ExpertsTest : public test::BackendTest {
 protected:
  void check(const Shape& shape) {
    const Case in(shape, dtype, random);
    Array want(DType::kF32, shape.rows, shape.hidden), got(DType::kF32, shape.rows, shape.hidden);
    in.run(*reference, want);
    in.run(*backend, got);
    // Sums of `hidden` and of `width` products of values near one, and the function between; with bf16 the
    // weights are rounded on both sides, what is gated to one side or the other of a rounding.
    const double sums = static_cast<double>(shape.hidden + shape.width + 40) * kU * 16;
    const bool wide = backend->traits().wide == DType::kBF16;  // gate and up are rounded, too
    const double rounding = dtype == DType::kBF16 ? (wide ? 24 : 8) * test::kBf16Round : 0;
    test::expect_close(shape.text(), want, got, [&](int64_t, int64_t, int64_t) { return sums + rounding; });
  }
};

TEST_P(ExpertsTest, MixOverShapes) {
  for (const int64_t rows : {1, 2, 3, 40}) {
    for (const auto& [hidden, width] : {std::pair{24, 16}, {64, 48}, {37, 7}, {128, 96}}) {
      check({5, 2, hidden, width, rows});
      check({9, 4, hidden, width, rows, Activation::kClamped, true});
    }
  }
  check({2, 1, 64, 32, 7, Activation::kGelu, false});
  check({3, 3, 64, 32, 7, Activation::kGelu, true});
}

// Experts that nobody chose, and one that everybody did.
TEST_P(ExpertsTest, AllRowsOfOneExpert) {
  const Case in({6, 1, 64, 32, 50}, dtype, random);
  for (int64_t r = 0; r < 50; ++r) in.ids.tensor.ptr<int32_t>(0, r)[0] = 4;
  Array want(DType::kF32, 50, 64), got(DType::kF32, 50, 64);
  in.run(*reference, want);
  in.run(*backend, got);
  const double limit = dtype == DType::kBF16 ? 0.05 : 1e-4;
  test::expect_close("one expert", want, got, [&](int64_t, int64_t, int64_t) { return limit; });
}

TEST_P(ExpertsTest, ChooseBestFirstAndTheLowerOfEquals) {
  for (const auto& [experts, used] : {std::pair{4, 2}, {33, 8}, {128, 8}, {7, 7}, {1, 1}}) {
    Array logits(DType::kF32, 5, experts), ids(DType::kI32, 5, used), weights(DType::kF32, 5, used);
    logits.fill(random.source(2));
    for (int64_t e = 0; e < experts; ++e) logits.set(0, 1, e, 1.5f);                      // all alike
    for (int64_t e = 0; e < experts; ++e) logits.set(0, 2, e, e % 2 == 0 ? 0.0f : 1.0f);  // many alike
    backend->choose_experts(logits.tensor, {ids.tensor, weights.tensor});
    for (int64_t r = 0; r < 5; ++r) {
      std::vector<int32_t> order(usize(experts));
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [&](int32_t a, int32_t b) { return logits.get(0, r, a) > logits.get(0, r, b); });
      double sum = 0;
      for (int64_t i = 0; i < used; ++i)
        sum += std::exp(static_cast<double>(logits.get(0, r, order[usize(i)])) - logits.get(0, r, order[0]));
      for (int64_t i = 0; i < used; ++i) {
        const int32_t expert = order[usize(i)];
        ASSERT_EQ(ids.tensor.ptr<int32_t>(0, r)[i], expert) << experts << " experts, row " << r;
        const double share =
            std::exp(static_cast<double>(logits.get(0, r, expert)) - logits.get(0, r, order[0]));
        EXPECT_NEAR(weights.get(0, r, i), share / sum, 1e-6);
      }
    }
  }
}

#ifndef CLAA_TEST_CUDA
// Bit for bit: batches of any size give a row the same, as its experts are added in their own order. Products
// of oneDNN, which bf16 has on a CPU with AMX, add in an order that depends on the number of rows.
TEST_P(ExpertsTest, NoRowDependsOnTheOthers) {
  const Case in({6, 3, 64, 32, 30, Activation::kSilu, true}, dtype, random);
  Array whole(DType::kF32, 30, 64);
  in.run(*backend, whole);
  Case one({6, 3, 64, 32, 1, Activation::kSilu, true}, dtype, random);
  one.gate_up = in.gate_up, one.down = in.down;
  const auto copy = [](const Array& from, int64_t row, Array& to) {
    std::memcpy(to.tensor.data, from.tensor.address(0, row), to.tensor.bytes());
  };
  copy(in.gate_up_bias, 0, one.gate_up_bias), copy(in.down_bias, 0, one.down_bias);
  for (int64_t r = 0; r < 30; ++r) {
    copy(in.x, r, one.x), copy(in.ids, r, one.ids), copy(in.weights, r, one.weights);
    copy(in.hidden, r, one.hidden);
    Array alone(DType::kF32, 1, 64);
    one.run(*backend, alone);
    if (dtype == DType::kBF16 && GetParam().isa.empty() && cpu::onednn_has_amx()) {
      for (int64_t c = 0; c < 64; ++c) EXPECT_NEAR(alone.get(0, 0, c), whole.get(0, r, c), 0.05) << r;
    } else {
      EXPECT_EQ(std::memcmp(alone.bytes(), whole.tensor.address(0, r), alone.tensor.bytes()), 0) << r;
    }
  }
}
#endif

CLAA_EVERY_DEVICE(ExpertsTest);

}  // namespace
}  // namespace claa
