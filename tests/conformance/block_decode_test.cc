// Weights that stay the blocks of their file, in a decode step: products are compared with exact sums over
// the dequantised weights and the rounded activations.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/activation.h"
#include "conformance/backend_support.h"
#include "conformance/block_support.h"
#include "core/usize.h"

namespace claa::cpu {
namespace {

using test::Array;
using test::BlockFormatCase;
using test::BlockSource;

class DecodeBlocks : public testing::TestWithParam<test::ResidentDevice> {
 protected:
  // One row as it is multiplied: rounded to 127 steps of the largest of 32 values.
  static std::vector<double> rounded(const std::vector<float>& row) {
    std::vector<double> values;
    for (size_t first = 0; first < row.size(); first += 32) {
      float largest = 0;
      for (size_t i = first; i < first + 32; ++i) largest = std::max(largest, std::abs(row[i]));
      const float inverse = largest > 0 ? 127.0f / largest : 0;
      for (size_t i = first; i < first + 32; ++i)
        values.push_back(static_cast<double>(std::nearbyint(row[i] * inverse)) * (largest / 127.0f));
    }
    return values;
  }
  // A product of rounded rows with dequantised weights, within the rounding of sums of f32: what is summed
  // are the products of numbers, exact, and those of minima, so that magnitudes are those of both apart.
  void expect_products(const BlockSource& blocks, const PackedWeight& weight, const Tensor& x,
                       const std::vector<std::vector<double>>& rows, bool accumulate);

  const std::unique_ptr<Backend> backend = test::make_resident(GetParam(), true);
  test::Random random{9};
};

void DecodeBlocks::expect_products(const BlockSource& blocks, const PackedWeight& weight, const Tensor& x,
                                   const std::vector<std::vector<double>>& rows, bool accumulate) {
  const int64_t outputs = blocks.source.outputs, count = x.rows();
  Array want(DType::kF32, count, outputs), got(DType::kF32, count, outputs),
      size(DType::kF32, count, outputs);
  got.fill([] { return 0.5f; });
  backend->decode([&] { backend->linear(x, weight, got.tensor, accumulate); });
  for (int64_t o = 0; o < outputs; ++o) {
    std::vector<float> values(usize(blocks.source.inputs));
    const WeightSource& source = blocks.source;
    source.fill(o, 1, values.data());
    for (size_t i = 0; source.column_factors != nullptr && i < values.size(); ++i)
      values[i] /= (*source.column_factors)[i];
    // A weight is a number times a scale less a minimum: both are at most about the largest of its row.
    double largest = 0;
    for (const float value : values) largest = std::max(largest, std::abs(static_cast<double>(value)));
    for (int64_t r = 0; r < count; ++r) {
      double sum = accumulate ? 0.5 : 0, magnitude = sum;
      for (size_t i = 0; i < values.size(); ++i) {
        sum += rows[usize(r)][i] * values[i];
        magnitude += std::abs(rows[usize(r)][i]) * 2 * largest;
      }
      want.set(0, r, o, static_cast<float>(sum)), size.set(0, r, o, static_cast<float>(magnitude));
    }
  }
  const auto terms = static_cast<double>(blocks.source.inputs / 32 + 16);
  test::expect_close(fmt::format("{} rows of {}", count, gguf::type_name(blocks.source.blocks[0].type)), want,
                     got,
                     [&](int64_t, int64_t r, int64_t o) { return terms * test::kU * size.get(0, r, o); });
}

TEST_P(DecodeBlocks, AreExactSumsOfRoundedRows) {
  const auto& formats = test::formats_with_kernels();
  for (size_t f = 0; f < formats.size(); ++f) {
    const BlockFormatCase& next = formats[(f + 1) % formats.size()];
    for (const int64_t inputs : test::row_lengths(formats[f], next)) {
      BlockSource blocks({formats[f], next}, 67, inputs, 10);
      blocks.source.factor = f % 2 == 0 ? 1 : 0.35f;
      blocks.source.blocks[1].scale = f % 3 == 0 ? 1 : 2.5f;
      const auto weight = backend->prepare(blocks.source);
      for (const int64_t rows : {1, 2, 3, 4, 7, 9}) {
        Array x(DType::kBF16, rows, inputs);
        x.fill(random.source());
        std::vector<std::vector<double>> exact;
        for (int64_t r = 0; r < rows; ++r) {
          x.set(0, r, 3, 40);  // one channel far larger than the rest
          std::vector<float> row;
          for (int64_t i = 0; i < inputs; ++i) row.push_back(x.get(0, r, i));
          exact.push_back(rounded(row));
        }
        expect_products(blocks, *weight, x.tensor, exact, rows % 2 == 0);
      }
    }
  }
}

// Rows of 8 bits keep their values, unless the equalizer's factors must go back into them.
TEST_P(DecodeBlocks, TakeRowsOf8Bits) {
  for (const bool factors : {false, true}) {
    for (const bool gated : {false, true}) {
      BlockSource blocks({test::formats_with_kernels()[7]}, 40, 768, 11);
      blocks.source.gated = gated;
      if (factors) blocks.source.column_factors = test::some_factors(768);
      const auto weight = backend->prepare(blocks.source);
      const int64_t group = gated ? kI8GatedGroup : kI8Group, groups = 768 / group;
      std::vector<uint8_t> values(3 * 768);
      std::vector<float> scales(usize(3 * groups));
      for (uint8_t& value : values)
        value = static_cast<uint8_t>(128 + std::clamp(30 * random.normal(), -127.f, 127.f));
      for (float& scale : scales) scale = 0.01f + std::abs(random.normal());
      Tensor x = Tensor::matrix(values.data(), DType::kI8, 3, 768);
      x.scales = scales.data(), x.row_scales = groups;
      std::vector<std::vector<double>> exact;
      for (int64_t r = 0; r < 3; ++r) {
        std::vector<float> row;
        for (int64_t i = 0; i < 768; ++i) {
          row.push_back(scales[usize(r * groups + i / group)] *
                        static_cast<float>(values[usize(r * 768 + i)] - 128));
          if (factors) row.back() *= (*blocks.source.column_factors)[usize(i)];
        }
        exact.push_back(factors ? rounded(row) : std::vector<double>(row.begin(), row.end()));
      }
      expect_products(blocks, *weight, x, exact, false);
      x.row_scales = groups + 1;
      Array out(DType::kF32, 3, 40);
      EXPECT_THROW(backend->decode([&] { backend->linear(x, *weight, out.tensor, false); }), Error);
    }
  }
}

// Nor on the threads that share the outputs.
TEST_P(DecodeBlocks, DoNotDependOnOtherRows) {
  for (const BlockFormatCase& format : test::formats_with_kernels()) {
    BlockSource blocks({format}, 150, 512, 12);
    const auto weight = backend->prepare(blocks.source);
    Array x(DType::kBF16, 9, 512), want(DType::kF32, 9, 150), got(DType::kF32, 9, 150);
    x.fill(random.source());
    const auto multiply = [&](Backend& by, const PackedWeight& with, const Array& to, int64_t row,
                              int64_t rows) {
      by.decode(
          [&] { by.linear(x.tensor.slice_rows(row, rows), with, to.tensor.slice_rows(row, rows), false); });
    };
    multiply(*backend, *weight, want, 0, 9);
    for (const int64_t rows : {1, 2, 3, 5}) {
      for (int64_t row = 0; row < 9; row += rows)
        multiply(*backend, *weight, got, row, std::min(rows, 9 - row));
      test::expect_same(want, got, fmt::format("{} rows at a time", rows));
    }
    const auto other = test::make_resident(GetParam(), true, 3);
    multiply(*other, *other->prepare(blocks.source), got, 0, 9);
    test::expect_same(want, got, "three threads");
    const auto plain = test::make_resident({"avx2", GetParam().dtype}, true);
    multiply(*plain, *plain->prepare(blocks.source), got, 0, 9);
    test::expect_same(want, got, "another instruction set");
  }
}

TEST_P(DecodeBlocks, FusedOperationsChangeNoBits) {
  BlockSource blocks({test::formats_with_kernels()[7], test::formats_with_kernels()[9]}, 128, 512, 13);
  const auto weight = backend->prepare(blocks.source);
  Array x(DType::kBF16, 1, 512), wide(DType::kF32, 1, 256), want(DType::kBF16, 1, 128),
      got(DType::kBF16, 1, 128);
  x.fill(random.source());
  backend->decode([&] {
    backend->linear(x.tensor, *weight, wide.tensor, false);
    backend->gate(wide.tensor, Activation::kSilu, want.tensor);
    backend->linear_gate(x.tensor, *weight, Activation::kSilu, wide.tensor, got.tensor);
  });
  test::expect_same(want, got, "gate");
}

// Tables of 16-bit floats, as routers may be, are multiplied as if they had been widened.
TEST_P(DecodeBlocks, TablesOfFloatsRoundNoRow) {
  const auto widened = test::make_resident(GetParam(), false);
  for (const gguf::TensorType type : {gguf::TensorType::kF16, gguf::TensorType::kBF16}) {
    BlockSource blocks({{type, {0}}}, 40, 512, 15);
    blocks.source.table = true;
    const auto kept = backend->prepare(blocks.source), packed = widened->prepare(blocks.source);
    EXPECT_TRUE(kept->resident);
    Array x(DType::kBF16, 3, 512), want(DType::kF32, 3, 40), got(DType::kF32, 3, 40);
    x.fill(random.source());
    widened->decode([&] { widened->linear(x.tensor, *packed, want.tensor, false); });
    backend->decode([&] { backend->linear(x.tensor, *kept, got.tensor, false); });
    test::expect_same(want, got, std::string(gguf::type_name(type)));
  }
}

TEST_P(DecodeBlocks, RowsOfZerosStayZero) {
  for (const BlockFormatCase& format : test::formats_with_kernels()) {
    BlockSource blocks({format}, 8, 256, 14);
    Array x(DType::kBF16, 1, 256), out(DType::kF32, 1, 8);
    x.fill([] { return 0.0f; });
    const auto weight = backend->prepare(blocks.source);
    backend->decode([&] { backend->linear(x.tensor, *weight, out.tensor, false); });
    for (int64_t o = 0; o < 8; ++o) EXPECT_EQ(out.get(0, 0, o), 0.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, DecodeBlocks, testing::ValuesIn(test::resident_devices({"bf16", "int8"})),
                         test::resident_name);

}  // namespace
}  // namespace claa::cpu
