// Experts that stay the blocks of their file in a GPU's memory. Many rows have the bits of widened experts,
// as blocks are unpacked before they are multiplied; few rows are compared with them.
#include <cmath>

#include "conformance/backend_support.h"
#include "conformance/block_support.h"
#include "conformance/staged_backend.h"
#include "core/usize.h"

namespace claa {
namespace {

using test::Array;
using test::BlockFormatCase;
using test::BlockSource;

// What the experts of one layer multiply at one step, in tensors one below the other.
class ExpertBlocks {
 public:
  ExpertBlocks(const std::vector<BlockFormatCase>& tensors, int64_t experts, int64_t rows, int64_t inputs,
               uint64_t seed) {
    for (int64_t e = 0; e < experts; ++e) {
      blocks_.push_back(
          std::make_unique<BlockSource>(tensors, rows, inputs, seed + static_cast<uint64_t>(e)));
      blocks_.back()->source.expert = true;
      sources.push_back(blocks_.back()->source);
    }
  }
  std::vector<WeightSource> sources;

 private:
  std::vector<std::unique_ptr<BlockSource>> blocks_;
};

struct Layer {
  int64_t experts, used, hidden, width;
  bool bias = false;
  Activation activation = Activation::kSilu;
};

class CudaExpertBlocks : public testing::Test {
 protected:
  static std::unique_ptr<Backend> make(bool resident, DType dtype = DType::kBF16, bool fp8 = false) {
    BackendOptions options{"cuda", dtype, 0, ""};
    options.resident = resident;
    options.fp8 = fp8;
    return std::make_unique<test::StagedBackend>(make_backend(options));
  }
  std::unique_ptr<Array> run(Backend& on, const Layer& layer, const ExpertBlocks& gate_up,
                             const ExpertBlocks& down, int64_t rows) const;
  void expect_near(const Layer& layer, const ExpertBlocks& gate_up, const ExpertBlocks& down, int64_t rows);

  const std::unique_ptr<Backend> resident = make(true), widened = make(false);
};

// The same inputs and choices in every call.
std::unique_ptr<Array> CudaExpertBlocks::run(Backend& on, const Layer& layer, const ExpertBlocks& gate_up,
                                             const ExpertBlocks& down, int64_t rows) const {
  test::Random random{21};
  const int64_t choices = rows * layer.used;
  Array x(DType::kBF16, rows, layer.hidden);
  auto out = std::make_unique<Array>(DType::kF32, rows, layer.hidden);
  Array ids(DType::kI32, rows, layer.used), weights(DType::kF32, rows, layer.used);
  Array gate_up_bias(DType::kF32, layer.experts, 2 * layer.width),
      down_bias(DType::kF32, layer.experts, layer.hidden);
  for (Array* array : {&x, out.get(), &gate_up_bias, &down_bias}) array->fill(random.source());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < layer.used; ++i) {
      ids.tensor.ptr<int32_t>(0, r)[i] = static_cast<int32_t>((r * 7 + i * 3) % layer.experts);
      weights.set(0, r, i, 1.0f / static_cast<float>(i + 2));
    }
  }
  const auto packed_gate_up = on.prepare_experts(gate_up.sources),
             packed_down = on.prepare_experts(down.sources);
  Experts experts{*packed_gate_up, *packed_down, layer.activation};
  if (layer.bias) experts.gate_up_bias = gate_up_bias.tensor, experts.down_bias = down_bias.tensor;
  Array some(DType::kBF16, choices, layer.hidden), up(DType::kBF16, choices, 2 * layer.width),
      gated(DType::kBF16, choices, layer.width), sums(DType::kBF16, choices, layer.hidden);
  on.mix_experts(x.tensor, experts, {ids.tensor, weights.tensor},
                 {some.tensor, up.tensor, gated.tensor, sums.tensor}, out->tensor);
  return out;
}

// Roundings to bf16 stand in other places: a wrong expert, row or output is far beyond them.
void CudaExpertBlocks::expect_near(const Layer& layer, const ExpertBlocks& gate_up, const ExpertBlocks& down,
                                   int64_t rows) {
  const auto want = run(*widened, layer, gate_up, down, rows),
             got = run(*resident, layer, gate_up, down, rows);
  double largest = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < layer.hidden; ++c)
      largest = std::max(largest, std::abs(static_cast<double>(want->get(0, r, c))));
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < layer.hidden; ++c)
      ASSERT_NEAR(want->get(0, r, c), got->get(0, r, c), largest * 0.02)
          << rows << " rows, row " << r << ", " << c;
  }
}

TEST_F(CudaExpertBlocks, ManyRowsHaveTheBitsOfWidenedExperts) {
  const std::vector<BlockFormatCase> formats = test::gpu_formats();
  for (size_t f = 0; f < formats.size(); ++f) {
    const Layer layer{5, 2, 256, 512, f % 2 == 0};
    const ExpertBlocks gate_up({formats[f], formats[f]}, layer.experts, layer.width, layer.hidden, 100 + f);
    const ExpertBlocks down({formats[(f + 1) % formats.size()]}, layer.experts, layer.hidden, layer.width,
                            200 + f);
    EXPECT_TRUE(resident->prepare_experts(gate_up.sources)->each[0]->resident);
    EXPECT_LT(resident->prepare_experts(gate_up.sources)->bytes(),
              widened->prepare_experts(gate_up.sources)->bytes());
    for (const int64_t rows : {9, 70}) {
      test::expect_same(*run(*widened, layer, gate_up, down, rows),
                        *run(*resident, layer, gate_up, down, rows),
                        fmt::format("{} rows of {}", rows, gguf::type_name(formats[f].type)));
    }
  }
}

// More than are unpacked at a time.
TEST_F(CudaExpertBlocks, LargeExpertsAreUnpackedSomeAtATime) {
  const BlockFormatCase format = test::gpu_formats()[7];
  const Layer layer{9, 3, 4096, 2560, false};
  const ExpertBlocks gate_up({format, format}, layer.experts, layer.width, layer.hidden, 300);
  const ExpertBlocks down({format}, layer.experts, layer.hidden, layer.width, 400);
  test::expect_same(*run(*widened, layer, gate_up, down, 40), *run(*resident, layer, gate_up, down, 40),
                    "40 rows");
}

TEST_F(CudaExpertBlocks, FewRowsFindTheirExperts) {
  const std::vector<BlockFormatCase> formats = test::gpu_formats();
  for (size_t f = 0; f < formats.size(); ++f) {
    const Layer layer{6, 3, 256, 512, f % 2 == 1, f % 2 == 1 ? Activation::kClamped : Activation::kSilu};
    const ExpertBlocks gate_up({formats[f], formats[f]}, layer.experts, layer.width, layer.hidden, 500 + f);
    const ExpertBlocks down({formats[(f + 1) % formats.size()]}, layer.experts, layer.hidden, layer.width,
                            600 + f);
    for (const int64_t rows : {1, 2, 5}) expect_near(layer, gate_up, down, rows);
  }
}

// Where one of two products has a format without kernels, its experts alone are widened.
TEST_F(CudaExpertBlocks, OneProductMayBeWidened) {
  const BlockFormatCase plain{gguf::TensorType::kF16, {0}}, blocks = test::gpu_formats()[0];
  const Layer layer{4, 2, 256, 64, true};
  for (const bool first : {false, true}) {
    const ExpertBlocks gate_up({first ? plain : blocks, first ? plain : blocks}, layer.experts, layer.width,
                               layer.hidden, 700);
    const ExpertBlocks down({first ? blocks : plain}, layer.experts, layer.hidden, layer.width, 800);
    EXPECT_EQ(resident->prepare_experts(gate_up.sources)->each[0]->resident, !first);
    EXPECT_EQ(resident->prepare_experts(down.sources)->each[0]->resident, first);
    for (const int64_t rows : {1, 4}) expect_near(layer, gate_up, down, rows);
    test::expect_same(*run(*widened, layer, gate_up, down, 30), *run(*resident, layer, gate_up, down, 30),
                      "30 rows");
  }
}

TEST_F(CudaExpertBlocks, OtherTypesAndMixedFormatsAreWidened) {
  const std::vector<BlockFormatCase> formats = test::gpu_formats();
  const ExpertBlocks one({formats[0], formats[0]}, 3, 64, 256, 900),
      mixed({formats[0], formats[1]}, 3, 64, 256, 901);
  EXPECT_FALSE(resident->prepare_experts(mixed.sources)->each[0]->resident);
  EXPECT_FALSE(make(true, DType::kF32)->prepare_experts(one.sources)->each[0]->resident);
  EXPECT_FALSE(make(true, DType::kBF16, true)->prepare_experts(one.sources)->each[0]->resident);
}

}  // namespace
}  // namespace claa
