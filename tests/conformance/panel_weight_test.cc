// The CPU's own products on panels of weights: f32, pairs of bf16 with emulated dot products, and the CPU's
// own where it has them, also where the backend leaves those to oneDNN (AMX).
#include "backend/cpu/panel_weight.h"

#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/omp_threads.h"
#include "backend/cpu/onednn_weight.h"
#include "conformance/backend_support.h"
#include "core/thread_pool.h"
#include "core/usize.h"

namespace claa::cpu {
namespace {

using test::Array;

struct Product {
  std::string name;
  const Kernels* kernels;
  DType dtype;  // of the inputs
};

std::vector<Product> products() {
  std::vector<Product> listed = {{"f32", &select_kernels("", DType::kF32), DType::kF32},
                                 {"widened", &select_kernels("avx2", DType::kBF16), DType::kBF16},
                                 {"emulated", &select_kernels(kEmulatedBf16, DType::kBF16), DType::kBF16}};
  const Kernels& best = select_kernels("", DType::kBF16);
  if (best.bf16_dot) listed.push_back({"native", &best, DType::kBF16});
  return listed;
}

class PanelWeightTest : public testing::TestWithParam<Product> {
 protected:
  WeightSource weights(int64_t outputs, int64_t inputs) {
    values.resize(usize(outputs * inputs));
    for (float& value : values) value = to_float(to_bf16(random.normal()));
    return {outputs, inputs, false, [this, inputs](int64_t first, int64_t count, float* rows) {
              std::copy_n(values.begin() + first * inputs, count * inputs, rows);
            }};
  }
  // multiply() of every number of rows, within n u of the magnitudes: products of bf16 are exact in f32, and
  // those of f32 are rounded once.
  void expect_close_sums(const CpuWeight& weight);

  const DType dtype = GetParam().dtype;
  test::Random random{9};
  std::vector<float> values;
};

void PanelWeightTest::expect_close_sums(const CpuWeight& weight) {
  const int64_t outputs = weight.outputs, inputs = weight.inputs;
  for (const int64_t rows : {1, 7, 130, 250}) {
    for (const bool accumulate : {false, true}) {
      Array x(dtype, rows, inputs), want(DType::kF32, rows, outputs), got(DType::kF32, rows, outputs);
      x.fill(random.source());
      got.fill([] { return 0.5f; });
      weight.multiply(x.tensor, got.tensor, accumulate);
      Array magnitude(DType::kF32, rows, outputs);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t o = 0; o < outputs; ++o) {
          double sum = accumulate ? 0.5 : 0, size = sum;
          for (int64_t i = 0; i < inputs; ++i) {
            const double product = static_cast<double>(x.get(0, r, i)) * values[usize(o * inputs + i)];
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

constexpr std::pair<int64_t, int64_t> kShapes[] = {{1, 2}, {33, 62}, {64, 64}, {95, 1320}, {200, 576}};

TEST_P(PanelWeightTest, IsWithinTheRoundingOfItsSums) {
  ThreadPool threads(2);
  CpuProducts shared{*GetParam().kernels, threads};
  for (const auto& [outputs, inputs] : kShapes) {
    const WeightSource source = weights(outputs, inputs);
    const PanelWeight weight(shared, source, dtype == DType::kBF16);
    EXPECT_EQ(weight.bytes, PanelWeight::bytes_for(*GetParam().kernels, outputs, inputs));
    expect_close_sums(weight);
  }
}

// Threads share rows, or panels where rows are few. Nor does a row depend on the others.
TEST_P(PanelWeightTest, NeitherThreadsNorOtherRowsChangeBits) {
  const WeightSource source = weights(200, 64);
  ThreadPool threads(2);
  CpuProducts shared{*GetParam().kernels, threads};
  const PanelWeight two(shared, source, false);
  for (const int64_t rows : {1, 5, 100, 300, 700}) {
    Array x(dtype, rows, 64), want(DType::kF32, rows, 200), got(DType::kF32, rows, 200);
    x.fill(random.source());
    two.multiply(x.tensor, want.tensor, false);
    for (const int count : {1, 3, 4, 6}) {
      ThreadPool others(count);
      CpuProducts of_others{*GetParam().kernels, others};
      const PanelWeight other(of_others, source, false);
      other.multiply(x.tensor, got.tensor, false);
      EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0) << rows << ", " << count;
    }
    for (int64_t r = 0; r < rows; ++r)
      two.multiply(x.tensor.slice_rows(r, 1), got.tensor.slice_rows(r, 1), false);
    EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0) << rows << " rows, one by one";
  }
}

INSTANTIATE_TEST_SUITE_P(Products, PanelWeightTest, testing::ValuesIn(products()),
                         [](const auto& info) { return info.param.name; });

// oneDNN multiplies bf16 on CPUs with AMX alone; its products of f32 are those of every CPU.
class OneDnnTest : public PanelWeightTest {};

TEST_P(OneDnnTest, IsWithinTheRoundingOfItsSums) {
  OmpThreads threads(2);
  CpuProducts shared{*GetParam().kernels, threads};
  OneDnn onednn(shared, dtype);
  for (const auto& [outputs, inputs] : kShapes) {
    const WeightSource source = weights(outputs, inputs);
    const OneDnnWeight weight(onednn, source);
    EXPECT_EQ(weight.bytes, OneDnnWeight::bytes_for(dtype, outputs, inputs, threads.count()));
    expect_close_sums(weight);
  }
}

std::vector<Product> onednn_products() {
  std::vector<Product> listed = products();
  std::erase_if(
      listed, [](const Product& p) { return p.name != "f32" && (p.name != "native" || !onednn_has_amx()); });
  return listed;
}
INSTANTIATE_TEST_SUITE_P(Products, OneDnnTest, testing::ValuesIn(onednn_products()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace claa::cpu
