// Linear layers in FP8 against exact products: every factor is off by at most half a unit of three mantissa
// bits.
#include <cmath>

#include "conformance/backend_support.h"

namespace claa {
namespace {

using test::Array;

class Fp8 : public testing::Test {
 protected:
  Fp8() : random(4) {
    BackendOptions options{"cuda", DType::kBF16, 0, ""};
    options.fp8 = true;
    backend = std::make_unique<test::StagedBackend>(make_backend(options));
  }
  void check(int64_t rows, int64_t outputs, int64_t inputs, DType out_type, bool accumulate);
  std::unique_ptr<Backend> backend;
  test::Random random;
};

void Fp8::check(int64_t rows, int64_t outputs, int64_t inputs, DType out_type, bool accumulate) {
  std::vector<float> weights(static_cast<size_t>(outputs * inputs));
  for (float& value : weights) value = random.normal();
  const auto packed = backend->prepare({outputs, inputs, false, [&](int64_t first, int64_t count, float* to) {
                                          std::copy_n(weights.begin() + first * inputs, count * inputs, to);
                                        }});
  Array x(DType::kBF16, rows, inputs), out(out_type, rows, outputs), before(out_type, rows, outputs);
  x.fill(random.source());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      const float value = random.normal();
      out.set(0, r, o, value), before.set(0, r, o, value);
    }
  }
  backend->linear(x.tensor, *packed, out.tensor, accumulate);
  double squares = 0, errors = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = 0, magnitude = 0;
      for (int64_t i = 0; i < inputs; ++i) {
        const double product = double{x.get(0, r, i)} * weights[static_cast<size_t>(o * inputs + i)];
        sum += product, magnitude += std::abs(product);
      }
      if (accumulate) sum += before.get(0, r, o);
      const double error = std::abs(out.get(0, r, o) - sum);
      // Two roundings of 2^-4, their product, and numbers so small beside the row's largest that they lose
      // more.
      EXPECT_LE(error, 0.14 * magnitude + 0.02 * std::sqrt(static_cast<double>(inputs)) + test::bf16_ulp(sum))
          << rows << " x " << outputs << " x " << inputs << " at " << r << ", " << o;
      squares += sum * sum, errors += error * error;
    }
  }
  EXPECT_LE(std::sqrt(errors / squares), 0.06) << rows << " x " << outputs << " x " << inputs;
}

TEST_F(Fp8, LinearOverShapes) {
  for (const int64_t rows : {1, 5, 64, 300}) {
    for (const auto& [outputs, inputs] : {std::pair{64, 64}, {128, 256}, {96, 61}, {1024, 576}}) {
      for (const bool accumulate : {false, true}) {
        check(rows, outputs, inputs, DType::kF32, accumulate);
        check(rows, outputs, inputs, DType::kBF16, accumulate);
      }
    }
  }
}

TEST_F(Fp8, RowsOfZerosStayZero) {
  const auto packed = backend->prepare(
      {16, 64, false, [](int64_t, int64_t count, float* to) { std::fill_n(to, count * 64, 0.5f); }});
  Array x(DType::kBF16, 4, 64), out(DType::kF32, 4, 16);
  x.fill([] { return 0.0f; });
  backend->linear(x.tensor, *packed, out.tensor, false);
  for (int64_t o = 0; o < 16; ++o) EXPECT_EQ(out.get(0, 3, o), 0.0f);
}

}  // namespace
}  // namespace claa
