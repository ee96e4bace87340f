// Weights that stay the blocks of their file in a GPU's memory. Products of many rows and embeddings have the
// bits of weights that were widened when they were loaded; one row is compared with exact sums over the
// dequantised weights, which are not rounded.
#include <cmath>
#include <cstring>

#include "conformance/backend_support.h"
#include "conformance/block_support.h"
#include "core/usize.h"

namespace claa {
namespace {

using test::Array;
using test::BlockFormatCase;
using test::BlockSource;

struct CudaType {
  DType dtype;
  bool fp8;
  const char* name;
};

class CudaBlocks : public testing::TestWithParam<CudaType> {
 protected:
  std::unique_ptr<Backend> make(bool resident) const {
    BackendOptions options{"cuda", GetParam().dtype, 0, ""};
    options.fp8 = GetParam().fp8;
    options.resident = resident;
    return std::make_unique<test::StagedBackend>(make_backend(options));
  }
  void expect_same_products(const BlockSource& blocks, int64_t rows, bool sliced = false);
  void expect_exact_row(const BlockSource& blocks, bool accumulate);

  const std::unique_ptr<Backend> resident = make(true), widened = make(false);
  test::Random random{3};
};

// Slices of outputs may be multiplied by another algorithm than the whole.
void CudaBlocks::expect_same_products(const BlockSource& blocks, int64_t rows, bool sliced) {
  const auto kept = resident->prepare(blocks.source), packed = widened->prepare(blocks.source);
  EXPECT_TRUE(kept->resident);
  EXPECT_LT(kept->bytes, packed->bytes);
  Array x(GetParam().dtype, rows, blocks.source.inputs);
  x.fill(random.source());
  for (const bool accumulate : {false, true}) {
    Array want(DType::kF32, rows, blocks.source.outputs), got(DType::kF32, rows, blocks.source.outputs);
    want.fill([] { return 0.25f; }), got.fill([] { return 0.25f; });
    widened->linear(x.tensor, *packed, want.tensor, accumulate);
    resident->linear(x.tensor, *kept, got.tensor, accumulate);
    const std::string what = fmt::format("{} rows, {} inputs, {}", rows, blocks.source.inputs,
                                         gguf::type_name(blocks.source.blocks[0].type));
    if (!sliced) {
      test::expect_same(want, got, what);
      continue;
    }
    float largest = 0;
    for (int64_t o = 0; o < blocks.source.outputs; ++o)
      largest = std::max(largest, std::abs(want.get(0, 0, o)));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t o = 0; o < blocks.source.outputs; ++o)
        ASSERT_NEAR(want.get(0, r, o), got.get(0, r, o), largest * 1e-4f) << what << ", output " << o;
    }
  }
}

void CudaBlocks::expect_exact_row(const BlockSource& blocks, bool accumulate) {
  const int64_t inputs = blocks.source.inputs, outputs = blocks.source.outputs;
  const auto kept = resident->prepare(blocks.source);
  Array x(GetParam().dtype, 1, inputs), got(DType::kF32, 1, outputs);
  x.fill(random.source());
  got.fill([] { return 0.5f; });
  resident->linear(x.tensor, *kept, got.tensor, accumulate);
  for (int64_t o = 0; o < outputs; ++o) {
    double sum = accumulate ? 0.5 : 0, magnitude = sum, largest = 0, steps = 0;
    const std::vector<float> row = blocks.row(o);
    for (const float value : row) largest = std::max(largest, std::abs(static_cast<double>(value)));
    for (int64_t i = 0; i < inputs; ++i) {
      sum += static_cast<double>(x.get(0, 0, i)) * static_cast<double>(row[usize(i)]);
      // A weight is a number times a scale less a minimum: both are at most about twice the largest of its
      // row.
      magnitude += std::abs(static_cast<double>(x.get(0, 0, i))) * 4 * largest;
      // Rows of bf16 are rounded to half a step of the largest of 16 values.
      double most = 0;
      for (int64_t n = i / 16 * 16; n < i / 16 * 16 + 16; ++n)
        most = std::max(most, std::abs(static_cast<double>(x.get(0, 0, n))));
      steps += most / 65534 * std::abs(static_cast<double>(row[usize(i)]));
    }
    const bool exact = GetParam().dtype == DType::kF32;
    ASSERT_NEAR(got.get(0, 0, o), sum, magnitude * test::kU * 16 + (exact ? 0 : steps))
        << gguf::type_name(blocks.source.blocks[0].type) << ", output " << o << " of " << inputs << " inputs";
  }
}

// Two formats in one weight, whose parts end within a slice of outputs and beyond one.
TEST_P(CudaBlocks, ManyRowsHaveTheBitsOfWidenedWeights) {
  const std::vector<BlockFormatCase> formats = test::gpu_formats();
  for (size_t f = 0; f < formats.size(); ++f) {
    BlockSource blocks({formats[f], formats[(f + 1) % formats.size()]}, 72, 512, 10);
    blocks.source.factor = f % 2 == 0 ? 1 : 0.35f;
    blocks.source.blocks[1].scale = f % 3 == 0 ? 1 : 0.7f;
    for (const int64_t rows : {3, 70}) expect_same_products(blocks, rows);
  }
}

TEST_P(CudaBlocks, LargeWeightsAreUnpackedInSlices) {
  BlockSource blocks({test::formats_with_kernels()[7], test::formats_with_kernels()[9]}, 4000, 16384, 11);
  expect_same_products(blocks, 16, true);
}

TEST_P(CudaBlocks, OneRowIsAnExactSum) {
  if (GetParam().fp8) {  // which rounds the row, but not the weight
    BlockSource blocks({test::formats_with_kernels()[7]}, 64, 4096, 12);
    const auto kept = resident->prepare(blocks.source);
    Array x(DType::kBF16, 1, 4096), got(DType::kF32, 1, 64);
    x.fill(random.source());
    resident->linear(x.tensor, *kept, got.tensor, false);
    double squares = 0, errors = 0;
    for (int64_t o = 0; o < 64; ++o) {
      double sum = 0;
      const std::vector<float> row = blocks.row(o);
      for (int64_t i = 0; i < 4096; ++i) sum += static_cast<double>(x.get(0, 0, i)) * row[usize(i)];
      squares += sum * sum, errors += (got.get(0, 0, o) - sum) * (got.get(0, 0, o) - sum);
    }
    EXPECT_LE(std::sqrt(errors / squares), 0.04);
    return;
  }
  const std::vector<BlockFormatCase> formats = test::gpu_formats();
  for (size_t f = 0; f < formats.size(); ++f) {
    for (const int64_t inputs : test::row_lengths(formats[f], formats[f])) {
      BlockSource blocks({formats[f]}, 67, inputs, 13);
      blocks.source.factor = f % 2 == 0 ? 0.35f : 1;
      blocks.source.blocks[0].scale = f % 3 == 0 ? 1 : 2.5f;
      for (const bool accumulate : {false, true}) expect_exact_row(blocks, accumulate);
    }
  }
  // So many that a warp takes two at a time, and one is left over.
  for (const size_t f : {7u, 9u, 17u, 22u}) {
    BlockSource blocks({formats[f]}, 8501, 512, 17);
    for (const bool accumulate : {false, true}) expect_exact_row(blocks, accumulate);
  }
}

TEST_P(CudaBlocks, EmbeddingsHaveTheBitsOfWidenedWeights) {
  for (const BlockFormatCase& format : test::gpu_formats()) {
    BlockSource blocks({format}, 50, 768, 14);
    blocks.source.table = true;
    const auto kept = resident->prepare(blocks.source), packed = widened->prepare(blocks.source);
    EXPECT_TRUE(kept->resident);
    const std::vector<int32_t> ids{49, 0, 7, 7, 31};
    Array want(DType::kF32, 5, 768), got(DType::kF32, 5, 768);
    widened->embed(*packed, ids, 1.5f, want.tensor);
    resident->embed(*kept, ids, 1.5f, got.tensor);
    test::expect_same(want, got, std::string(gguf::type_name(format.type)));
    Array want_some(DType::kF32, 5, 100), got_some(DType::kF32, 5, 100);  // from within a unit to within one
    widened->embed(*packed, ids, 0.5f, want_some.tensor, 41);
    resident->embed(*kept, ids, 0.5f, got_some.tensor, 41);
    test::expect_same(want_some, got_some, "some columns of " + std::string(gguf::type_name(format.type)));
  }
}

TEST_P(CudaBlocks, ValuesThatAreNoNumbersAreRefused) {
  for (const BlockFormatCase& format : test::gpu_formats()) {
    for (const int scale : format.scales) {
      BlockSource blocks({test::formats_with_kernels()[9], format}, 3, 512, 15);
      std::byte* high = blocks.block(1, blocks.source.blocks[1].data.size() - gguf::block_bytes(format.type) +
                                            usize(scale)) +
                        1;
      *high = std::byte{0x7f};
      *(high - 1) |= std::byte{0x80};
      const auto plain = blocks.source.fill;
      int64_t asked = -1;
      blocks.source.fill = [&](int64_t first, int64_t count, float* to) {
        plain(first, count, to);
        asked = first;
        fail(ErrorCode::kCorruptFile, "row {} holds a value that is no number", first);
      };
      EXPECT_THROW(resident->prepare(blocks.source), Error) << gguf::type_name(format.type);
      EXPECT_EQ(asked, 5) << gguf::type_name(format.type) << ", scale at " << scale;
    }
  }
}

TEST_P(CudaBlocks, OtherFormatsAreWidened) {
  const auto& formats = test::formats_with_kernels();
  for (size_t f = test::gpu_formats().size(); f < formats.size(); ++f) {
    const BlockFormatCase& format = formats[f];
    BlockSource blocks({format}, 8, 512, 16);
    EXPECT_FALSE(resident->prepare(blocks.source)->resident) << gguf::type_name(format.type);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaBlocks,
                         testing::Values(CudaType{DType::kBF16, false, "bf16"},
                                         CudaType{DType::kF32, false, "f32"},
                                         CudaType{DType::kBF16, true, "fp8"}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace claa
