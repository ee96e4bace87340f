// Output gates and the parts of recurrent layers against plain recurrences in f64: the test's own, so that
// the reference backend is tested as the others are.
#include <cmath>
#include <cstring>

#include "conformance/backend_support.h"
#include "core/usize.h"

namespace claa {
namespace {

using test::Array;
using test::kExp;
using test::kU;

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

void copy_array(const Array& from, Array& to) {
  std::memcpy(to.tensor.data, from.tensor.data, from.tensor.bytes());
}

class Delta : public test::BackendTest {
 protected:
  // The device of the test, and the reference backend.
  std::vector<Backend*> both() const { return {backend.get(), reference.get()}; }
  void check_convolution(Backend& on, int64_t rows, int64_t channels, int64_t width);
  void check_rule(Backend& on, const DeltaHeads& heads, int64_t rows, int64_t split);
};

void Delta::check_convolution(Backend& on, int64_t rows, int64_t channels, int64_t width) {
  Array x(on.traits().wide, rows, channels), weight(DType::kF32, width, channels),
      columns(DType::kF32, width - 1, channels), out(DType::kF32, rows, channels);
  x.fill(random.source()), weight.fill(random.source()), columns.fill(random.source());
  Array want(DType::kF32, rows, channels), bound(DType::kF32, rows, channels),
      want_columns(DType::kF32, width - 1, channels);
  const auto input = [&](int64_t row, int64_t c) -> double {
    return row < width - 1 ? columns.get(0, row, c) : x.get(0, row - width + 1, c);
  };
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t r = 0; r < rows; ++r) {
      double sum = 0, magnitude = 0;
      for (int64_t j = 0; j < width; ++j) {
        sum += weight.get(0, j, c) * input(r + j, c);
        magnitude += std::abs(weight.get(0, j, c) * input(r + j, c));
      }
      want.set(0, r, c, static_cast<float>(sum * logistic(sum)));
      // The slope of SiLU is at most 1.1.
      bound.set(0, r, c,
                static_cast<float>(1.1 * static_cast<double>(width) * kU * magnitude +
                                   (kExp + 8 * kU) * std::abs(sum)));
    }
    for (int64_t r = 0; r < width - 1; ++r) want_columns.set(0, r, c, static_cast<float>(input(rows + r, c)));
  }
  on.convolve(x.tensor, weight.tensor, columns.tensor, out.tensor);
  const std::string what =
      fmt::format("{}: convolution of {} rows, {} channels, width {}", on.name(), rows, channels, width);
  test::expect_close(what, want, out, [&](int64_t, int64_t r, int64_t c) { return bound.get(0, r, c); });
  test::expect_close(what + ", columns", want_columns, columns,
                     [](int64_t, int64_t, int64_t) { return 0.0; });
}

TEST_P(Delta, Convolution) {
  for (Backend* on : both()) {
    for (const int64_t rows : {1, 2, 3, 4, 65}) {
      for (const int64_t channels : {1, 24, 77, 256}) check_convolution(*on, rows, channels, 4);
    }
    check_convolution(*on, 2, 33, 7);
    check_convolution(*on, 9, 33, 2);
  }
}

// Rows that come in two parts are the rows that come at once.
TEST_P(Delta, ConvolutionCarriesItsColumns) {
  for (Backend* on : both()) {
    Array x(on->traits().wide, 11, 40), weight(DType::kF32, 4, 40), columns(DType::kF32, 3, 40),
        other(DType::kF32, 3, 40), whole(DType::kF32, 11, 40), parts(DType::kF32, 11, 40);
    x.fill(random.source()), weight.fill(random.source()), columns.fill(random.source());
    copy_array(columns, other);
    on->convolve(x.tensor, weight.tensor, columns.tensor, whole.tensor);
    for (const auto& [first, count] : {std::pair{0, 1}, {1, 2}, {3, 8}}) {
      on->convolve(x.tensor.slice_rows(first, count), weight.tensor, other.tensor,
                   parts.tensor.slice_rows(first, count));
    }
    EXPECT_EQ(std::memcmp(whole.bytes(), parts.bytes(), whole.tensor.bytes()), 0) << on->name();
    EXPECT_EQ(std::memcmp(columns.bytes(), other.bytes(), columns.tensor.bytes()), 0) << on->name();
  }
}

TEST_P(Delta, UnitHeads) {
  constexpr float kEps = 1e-3f;
  for (Backend* on : both()) {
    for (const auto& [heads, size] : {std::pair{1, 7}, {2, 16}, {3, 40}, {4, 128}}) {
      Array x(DType::kF32, 5, (heads + 1) * size), want(DType::kF32, 5, (heads + 1) * size);
      x.fill(random.source());
      for (int64_t c = 0; c < size; ++c) x.set(0, 2, c, 0);  // a head of zeros
      copy_array(x, want);
      for (int64_t r = 0; r < 5; ++r) {
        for (int64_t first = 0; first < heads * size; first += size) {
          double squares = kEps;
          for (int64_t c = first; c < first + size; ++c)
            squares += static_cast<double>(x.get(0, r, c)) * x.get(0, r, c);
          for (int64_t c = first; c < first + size; ++c)
            want.set(0, r, c, static_cast<float>(x.get(0, r, c) / std::sqrt(squares)));
        }
      }
      on->unit_heads(x.tensor, heads, size, kEps);
      test::expect_close(fmt::format("{}: {} unit heads of {}", on->name(), heads, size), want, x,
                         [&, n = size](int64_t, int64_t r, int64_t c) {
                           return (static_cast<double>(n) + 8) * kU * std::abs(want.get(0, r, c));
                         });
    }
  }
}

// Values of one case of the rule: queries and keys of length one, as unit_heads() leaves them.
struct DeltaCase {
  DeltaCase(const DeltaHeads& h, int64_t rows)
      : heads(h),
        qkv(DType::kF32, rows, h.channels()),
        inputs(DType::kF32, rows, 2 * h.value_heads),
        decay(DType::kF32, 1, h.value_heads),
        step(DType::kF32, 1, h.value_heads),
        memory(DType::kF32, h.value_heads, h.size, h.size) {}
  void draw(test::Random& random, float decays = 1) {
    const DeltaHeads& h = heads;
    for (Array* array : {&qkv, &inputs, &step}) array->fill(random.source());
    decay.fill([&] { return -decays * std::exp(random.normal()); });
    memory.fill(random.source(0.3f));
    for (int64_t r = 0; r < qkv.tensor.rows(); ++r) {
      for (int64_t first = 0; first < 2 * h.key_heads * h.size; first += h.size) {
        double squares = 0;
        for (int64_t i = 0; i < h.size; ++i) squares += std::pow(qkv.get(0, r, first + i), 2);
        for (int64_t i = 0; i < h.size; ++i)
          qkv.set(0, r, first + i, static_cast<float>(qkv.get(0, r, first + i) / std::sqrt(squares)));
      }
    }
  }
  DeltaRates rates() const { return {inputs.tensor, decay.tensor, step.tensor}; }
  void run(Backend& on, int64_t first, int64_t count, Array& out) const {
    on.delta_rule(qkv.tensor.slice_rows(first, count), heads,
                  {inputs.tensor.slice_rows(first, count), decay.tensor, step.tensor}, memory.tensor,
                  out.tensor.slice_rows(first, count));
  }
  DeltaHeads heads;
  Array qkv, inputs, decay, step, memory;
};

// One dimension of a value in f64, with the size of its error. The factor 1 - b k k^T lengthens nothing, so
// that what a row rounds shrinks with the memory and adds up: sums of `size` products and, in a chunk, of 64,
// with a few exponentials.
class Column {
 public:
  Column(const DeltaCase& in, int64_t head, int64_t column)
      : in_(in), head_(head), c_(column), s_(usize(in.heads.size)) {
    for (int64_t i = 0; i < in.heads.size; ++i) s_[usize(i)] = in.memory.get(head, i, column);
  }
  void row(int64_t r) {
    const int64_t d = in_.heads.size, keys = in_.heads.key_heads * d, key = head_ % in_.heads.key_heads * d;
    const double x = static_cast<double>(in_.inputs.get(0, r, head_)) + in_.step.get(0, 0, head_);
    const double g = in_.decay.get(0, 0, head_) * (x > 30 ? x : std::log1p(std::exp(x)));
    const double b = logistic(in_.inputs.get(0, r, in_.heads.value_heads + head_));
    double known = 0, length = 0;
    for (int64_t i = 0; i < d; ++i) {
      s_[usize(i)] *= std::exp(g);
      known += s_[usize(i)] * in_.qkv.get(0, r, keys + key + i);
    }
    const double value = in_.qkv.get(0, r, 2 * keys + head_ * d + c_);
    out = 0;
    for (int64_t i = 0; i < d; ++i) {
      s_[usize(i)] += b * in_.qkv.get(0, r, keys + key + i) * (value - known);
      out += s_[usize(i)] * in_.qkv.get(0, r, key + i) / std::sqrt(static_cast<double>(d));
      length += s_[usize(i)] * s_[usize(i)];
    }
    const double unit = static_cast<double>(d + 64 + 16) * kU + 4 * kExp + 4 * std::abs(g) * kU;
    const double size = std::sqrt(length) + std::abs(value);
    memory_error = std::exp(g) * memory_error + unit * size;
    error = (memory_error + unit * size) / std::sqrt(static_cast<double>(d));
  }
  double memory(int64_t i) const { return s_[usize(i)]; }
  double out = 0, error = 0, memory_error = 0;

 private:
  const DeltaCase& in_;
  int64_t head_, c_;
  std::vector<double> s_;
};

// In two calls, the first of `split` rows, if there are any.
void Delta::check_rule(Backend& on, const DeltaHeads& heads, int64_t rows, int64_t split) {
  DeltaCase in(heads, rows);
  in.draw(random);
  Array want(DType::kF32, rows, heads.values()), bound(DType::kF32, rows, heads.values()),
      got(DType::kF32, rows, heads.values()),
      want_memory(DType::kF32, heads.value_heads, heads.size, heads.size),
      memory_bound(DType::kF32, heads.value_heads, heads.size, heads.size);
  for (int64_t head = 0; head < heads.value_heads; ++head) {
    for (int64_t c = 0; c < heads.size; ++c) {
      Column column(in, head, c);
      for (int64_t r = 0; r < rows; ++r) {
        column.row(r);
        want.set(0, r, head * heads.size + c, static_cast<float>(column.out));
        bound.set(0, r, head * heads.size + c, static_cast<float>(column.error));
      }
      for (int64_t i = 0; i < heads.size; ++i) {
        want_memory.set(head, i, c, static_cast<float>(column.memory(i)));
        memory_bound.set(head, i, c, static_cast<float>(column.memory_error));
      }
    }
  }
  if (split > 0) in.run(on, 0, split, got);
  in.run(on, split, rows - split, got);
  const std::string what = fmt::format("{}: {} and {} heads of {}, {} rows, split at {}", on.name(),
                                       heads.key_heads, heads.value_heads, heads.size, rows, split);
  test::expect_close(what, want, got, [&](int64_t, int64_t r, int64_t c) { return bound.get(0, r, c); });
  test::expect_close(what + ", memory", want_memory, in.memory,
                     [&](int64_t p, int64_t r, int64_t c) { return memory_bound.get(p, r, c); });
}

TEST_P(Delta, RuleOverRows) {
  for (Backend* on : both()) {
    for (const int64_t rows : {1, 2, 4, 5, 16, 17, 63, 64, 65, 128, 131})
      check_rule(*on, {2, 4, 16}, rows, 0);
  }
}
TEST_P(Delta, RuleOverShapes) {
  for (Backend* on : both()) {
    for (const DeltaHeads heads : {DeltaHeads{1, 1, 7}, {1, 3, 40}, {3, 6, 32}, {2, 2, 128}, {1, 2, 136}}) {
      check_rule(*on, heads, 1, 0);
      check_rule(*on, heads, 70, 0);
    }
  }
}
TEST_P(Delta, RuleCarriesItsMemory) {
  for (Backend* on : both()) {
    for (const int64_t split : {1, 30, 64, 100, 129}) check_rule(*on, {2, 6, 32}, 130, split);
  }
}

// Decays from none to all at once.
TEST_P(Delta, RuleOverDecays) {
  for (const float decays : {0.0f, 1e-4f, 30.0f, 1e6f}) {
    DeltaCase in({1, 2, 32}, 150), other({1, 2, 32}, 150);
    in.draw(random, decays);
    for (const auto& [from, to] : {std::pair{&in.qkv, &other.qkv},
                                   {&in.inputs, &other.inputs},
                                   {&in.decay, &other.decay},
                                   {&in.step, &other.step},
                                   {&in.memory, &other.memory}})
      copy_array(*from, *to);
    Array want(DType::kF32, 150, 64), got(DType::kF32, 150, 64);
    in.run(*reference, 0, 150, want);
    other.run(*backend, 0, 150, got);
    test::expect_close(fmt::format("decays of {}", decays), want, got,
                       [](int64_t, int64_t, int64_t) { return 1e-4; });
  }
}

// Bit for bit: what comes later changes no row.
TEST_P(Delta, NoRowDependsOnLaterOnes) {
  for (Backend* on : both()) {
    DeltaCase in({2, 4, 32}, 90), other({2, 4, 32}, 90);
    in.draw(random);
    copy_array(in.memory, other.memory);
    Array whole(DType::kF32, 90, 128), part(DType::kF32, 90, 128);
    in.run(*on, 0, 90, whole);
    in.memory.tensor.data = other.memory.tensor.data;
    in.run(*on, 0, 77, part);
    EXPECT_EQ(std::memcmp(whole.bytes(), part.bytes(), usize(77 * 128) * sizeof(float)), 0) << on->name();
  }
}

TEST_P(Delta, GatedNormOfHeads) {
  constexpr float kEps = 1e-6f;
  for (Backend* on : both()) {
    for (const auto& [heads, size] : {std::pair{1, 7}, {3, 16}, {2, 40}, {4, 128}}) {
      const int64_t n = heads * size;
      Array x(DType::kF32, 5, n), gate(on->traits().wide, 5, n), weight(DType::kF32, 1, size),
          got(dtype, 5, n), want(dtype, 5, n);
      x.fill(random.source()), gate.fill(random.source(3)), weight.fill(random.source());
      std::vector<double> exact(usize(5 * n));
      for (int64_t r = 0; r < 5; ++r) {
        for (int64_t c = 0; c < n; ++c) {
          double squares = 0;
          for (int64_t i = c / size * size; i < (c / size + 1) * size; ++i)
            squares += std::pow(x.get(0, r, i), 2);
          const double g = gate.get(0, r, c);
          exact[usize(r * n + c)] = x.get(0, r, c) / std::sqrt(squares / static_cast<double>(size) + kEps) *
                                    weight.get(0, 0, c % size) * g * logistic(g);
          want.set(0, r, c, static_cast<float>(exact[usize(r * n + c)]));
        }
      }
      on->gated_norm_heads(x.tensor, gate.tensor, weight.tensor, kEps, got.tensor);
      // Where the result is bf16, the exponential may be a short one.
      const double unit =
          (static_cast<double>(size) + 16) * kU + 2 * kExp + (dtype == DType::kBF16 ? 2e-4 : 0);
      test::expect_close(fmt::format("{}: gated norm of {} heads of {}", on->name(), heads, size), want, got,
                         [&](int64_t p, int64_t r, int64_t c) {
                           return test::with_output(want, p, r, c, unit * std::abs(exact[usize(r * n + c)]));
                         });
    }
  }
}

TEST_P(Delta, AddsGatedRows) {
  for (Backend* on : both()) {
    for (const int64_t columns : {1, 16, 77, 300}) {
      Array gate(DType::kF32, 3, 1), x(DType::kF32, 3, columns), out(DType::kF32, 3, columns),
          want(DType::kF32, 3, columns);
      gate.fill(random.source(4)), x.fill(random.source()), out.fill(random.source());
      for (int64_t r = 0; r < 3; ++r) {
        for (int64_t c = 0; c < columns; ++c)
          want.set(0, r, c,
                   static_cast<float>(out.get(0, r, c) + x.get(0, r, c) * logistic(gate.get(0, r, 0))));
      }
      on->add_gated_rows(x.tensor, gate.tensor, out.tensor);
      test::expect_close(fmt::format("{}: gated rows of {} columns", on->name(), columns), want, out,
                         [&](int64_t, int64_t r, int64_t c) {
                           return (kExp + 8 * kU) * (std::abs(x.get(0, r, c)) + std::abs(want.get(0, r, c)));
                         });
    }
  }
}

TEST_P(Delta, OutputGate) {
  for (Backend* on : both()) {
    for (const int64_t columns : {1, 16, 77, 256}) {
      Array gate(on->traits().wide, 3, columns), x(dtype, 3, columns), want(dtype, 3, columns);
      gate.fill(random.source(4)), x.fill(random.source());
      for (int64_t r = 0; r < 3; ++r) {
        for (int64_t c = 0; c < columns; ++c)
          want.set(0, r, c, static_cast<float>(x.get(0, r, c) * logistic(gate.get(0, r, c))));
      }
      on->gate_output(gate.tensor, x.tensor);
      test::expect_close(fmt::format("{}: output gate of {} columns", on->name(), columns), want, x,
                         [&](int64_t p, int64_t r, int64_t c) {
                           return test::with_output(want, p, r, c,
                                                    (2 * kExp + 8 * kU) * std::abs(want.get(p, r, c)));
                         });
    }
  }
}

CLAA_EVERY_DEVICE(Delta);

}  // namespace
}  // namespace claa
