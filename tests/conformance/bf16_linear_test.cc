// The CPU's own bf16 products, also where the backend leaves them to oneDNN (AMX).
#include "backend/cpu/bf16_linear.h"

#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "conformance/backend_support.h"

namespace claa::cpu {
namespace {

using test::Array;

class Bf16LinearTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!kernels.bf16_dot) GTEST_SKIP() << "this CPU does not multiply bf16";
  }
  WeightSource weights(int64_t outputs, int64_t inputs) {
    values.resize(static_cast<size_t>(outputs * inputs));
    for (float& value : values) value = to_float(to_bf16(random.normal()));
    return {outputs, inputs, false, [this, inputs](int64_t first, int64_t count, float* rows) {
              std::copy_n(values.begin() + first * inputs, count * inputs, rows);
            }};
  }
  const Kernels& kernels = select_kernels("", DType::kBF16);
  test::Random random{9};
  std::vector<float> values;
};

// Products of bf16 are exact in f32; a sum of n of them is off by at most n u of their magnitudes.
TEST_F(Bf16LinearTest, IsWithinTheRoundingOfItsSums) {
  const Bf16Linear linear(kernels, 2);
  for (const auto& [outputs, inputs] : {std::pair{1, 2}, {33, 62}, {64, 64}, {95, 1320}, {200, 576}}) {
    const auto weight = linear.prepare(weights(outputs, inputs));
    for (const int64_t rows : {1, 7, 130, 250}) {
      for (const bool accumulate : {false, true}) {
        Array x(DType::kBF16, rows, inputs), want(DType::kF32, rows, outputs),
            got(DType::kF32, rows, outputs);
        x.fill(random.source());
        got.fill([] { return 0.5f; });
        linear.run(x.tensor, *weight, got.tensor, accumulate);
        Array magnitude(DType::kF32, rows, outputs);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t o = 0; o < outputs; ++o) {
            double sum = accumulate ? 0.5 : 0, size = sum;
            for (int64_t i = 0; i < inputs; ++i) {
              const double product =
                  static_cast<double>(x.get(0, r, i)) * values[static_cast<size_t>(o * inputs + i)];
              sum += product, size += std::abs(product);
            }
            want.set(0, r, o, static_cast<float>(sum)), magnitude.set(0, r, o, static_cast<float>(size));
          }
        }
        test::expect_close(fmt::format("{} x {} by {}", rows, inputs, outputs), want, got,
                           [&](int64_t, int64_t r, int64_t o) {
                             return static_cast<double>(inputs + 2) * test::kU * magnitude.get(0, r, o);
                           });
      }
    }
  }
}

// Threads share rows, or panels where rows are few.
TEST_F(Bf16LinearTest, ThreadsChangeNoBits) {
  const WeightSource source = weights(200, 64);
  const Bf16Linear two(kernels, 2);
  for (const int64_t rows : {1, 5, 100, 300, 700}) {
    Array x(DType::kBF16, rows, 64), want(DType::kF32, rows, 200), got(DType::kF32, rows, 200);
    x.fill(random.source());
    two.run(x.tensor, *two.prepare(source), want.tensor, false);
    for (const int threads : {1, 3, 4, 6}) {
      const Bf16Linear other(kernels, threads);
      other.run(x.tensor, *other.prepare(source), got.tensor, false);
      EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0) << rows << ", " << threads;
    }
  }
}

}  // namespace
}  // namespace claa::cpu
