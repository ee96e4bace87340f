// Weights that stay the blocks of their file: products of many rows have the bits of weights that were
// widened when they were loaded.
#include "backend/cpu/block_weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/activation.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/onednn_weight.h"
#include "conformance/backend_support.h"
#include "conformance/block_support.h"
#include "core/thread_pool.h"
#include "core/usize.h"

namespace claa::cpu {
namespace {

using test::Array;
using test::BlockFormatCase;
using test::BlockSource;

std::vector<const BlockKernels*> all_block_kernels() {
  std::vector<const BlockKernels*> kernels = {&kBlockKernelsAvx2};
  const BlockKernels& best = select_block_kernels("");
  if (&best != &kBlockKernelsAvx2) kernels.push_back(&best);
  return kernels;
}

TEST(BlockRowsTest, WidenToTheBitsOfTheReader) {
  for (const BlockKernels* kernels : all_block_kernels()) {
    for (const BlockFormatCase& format : test::formats_with_kernels()) {
      BlockSource blocks({format, test::formats_with_kernels().back()}, 3, 768, 1);
      for (const bool factors : {false, true}) {
        blocks.source.factor = factors ? 0.3f : 1;
        blocks.source.blocks[0].scale = factors ? 0.7f : 1;
        blocks.source.column_factors = factors ? test::some_factors(768) : nullptr;
        const BlockRows rows(*kernels, blocks.source);
        for (int64_t r = 0; r < 6; ++r) {
          const std::vector<float> want = blocks.row(r);
          std::vector<float> got(768, -1);
          for (const auto& [first, count] : {std::pair<int64_t, int64_t>{512, 256}, {0, 256}, {256, 256}})
            rows.widen(r, first, count, got.data() + first);
          EXPECT_EQ(std::memcmp(want.data(), got.data(), want.size() * sizeof(float)), 0)
              << kernels->name << ", " << gguf::type_name(format.type) << ", row " << r;
        }
      }
    }
  }
}

// Subnormal ones of MXFP4 and NVFP4, and those that are 0 by practice.
TEST(BlockRowsTest, WidenByEveryScaleOf8Bits) {
  for (const gguf::TensorType type : {gguf::TensorType::kMXFP4, gguf::TensorType::kNVFP4}) {
    const size_t scales = type == gguf::TensorType::kMXFP4 ? 1 : 4, bytes = gguf::block_bytes(type);
    const auto inputs = static_cast<int64_t>(256 / scales * gguf::block_elements(type));
    BlockSource blocks({{type, {}}}, 1, inputs, 1);
    for (size_t i = 0; i < 256; ++i)
      *blocks.block(0, i / scales * bytes + i % scales) = static_cast<std::byte>(i);
    const std::vector<float> want = blocks.row(0);
    for (const BlockKernels* kernels : all_block_kernels()) {
      for (const int64_t count : {BlockRows::kSegment, inputs}) {
        std::vector<float> got(usize(inputs));
        const BlockRows rows(*kernels, blocks.source);
        for (int64_t first = 0; first < inputs; first += count)
          rows.widen(0, first, count, got.data() + first);
        EXPECT_EQ(std::memcmp(want.data(), got.data(), want.size() * sizeof(float)), 0)
            << kernels->name << ", " << gguf::type_name(type);
      }
    }
  }
}

// Values of 16 bits are not in blocks: rows may have any number of them.
TEST(BlockRowsTest, WidenFloatsUpToTheEndOfARow) {
  for (const BlockKernels* kernels : all_block_kernels()) {
    for (const gguf::TensorType type : {gguf::TensorType::kF16, gguf::TensorType::kBF16}) {
      for (const int64_t inputs : {1, 7, 8, 9, 270}) {
        BlockSource blocks({{type, {0}}}, 2, inputs, 1);
        EXPECT_TRUE(BlockRows::have_kernels(blocks.source, false));
        EXPECT_FALSE(BlockRows::have_kernels(blocks.source, true)) << "rows are rounded in whole groups";
        const std::vector<float> want = blocks.row(1);
        std::vector<float> got(usize(inputs) + 1, -1);
        const BlockRows rows(*kernels, blocks.source);
        rows.widen(1, 0, std::min(BlockRows::kSegment, inputs), got.data());
        if (inputs > BlockRows::kSegment)
          rows.widen(1, BlockRows::kSegment, inputs - BlockRows::kSegment, got.data() + BlockRows::kSegment);
        EXPECT_EQ(std::memcmp(want.data(), got.data(), want.size() * sizeof(float)), 0) << inputs;
        EXPECT_EQ(got.back(), -1);
      }
    }
  }
}

TEST(BlockRowsTest, FindValuesThatAreNoNumbers) {
  for (const BlockFormatCase& format : test::formats_with_kernels()) {
    BlockSource blocks({format}, 2, 512, 2);
    const BlockRows rows(kBlockKernelsAvx2, blocks.source);
    EXPECT_TRUE(rows.is_finite(0) && rows.is_finite(1)) << gguf::type_name(format.type);
    const size_t row_bytes = blocks.source.blocks[0].data.size() / 2;
    for (const int scale : format.scales) {
      std::byte* high = blocks.block(0, 2 * row_bytes - gguf::block_bytes(format.type) + usize(scale)) + 1;
      const std::byte before = *high;
      *high = std::byte{0x7f};  // infinity or no number, in both types of 16 bits with the byte before
      *(high - 1) |= std::byte{0x80};
      EXPECT_FALSE(rows.is_finite(1)) << gguf::type_name(format.type) << ", scale at " << scale;
      EXPECT_TRUE(rows.is_finite(0));
      *high = before;
    }
  }
}

// Whose block has its scale in the highest nibbles of four words.
TEST(BlockRowsTest, FindScalesInNibblesThatAreNoNumbers) {
  BlockSource blocks({{gguf::TensorType::kIQ1_M, {}}}, 2, 512, 2);
  const BlockRows rows(kBlockKernelsAvx2, blocks.source);
  EXPECT_TRUE(rows.is_finite(0) && rows.is_finite(1));
  *blocks.block(0, 3 * 56 + 53) |= std::byte{0xc0};
  EXPECT_TRUE(rows.is_finite(1));
  *blocks.block(0, 3 * 56 + 55) |= std::byte{0x70};
  EXPECT_TRUE(rows.is_finite(0));
  EXPECT_FALSE(rows.is_finite(1));
}

// The scale of a whole tensor may be too large for values that are finite.
TEST(BlockRowsTest, FindScaledValuesThatAreNoNumbers) {
  BlockSource blocks({{gguf::TensorType::kTQ2_0, {64}}}, 2, 512, 2);
  EXPECT_TRUE(BlockRows(kBlockKernelsAvx2, blocks.source).is_finite(0));
  blocks.source.blocks[0].scale = 0x1p127f;
  blocks.block(0, 65)[0] = std::byte{0x5c};  // 256 and more
  EXPECT_FALSE(BlockRows(kBlockKernelsAvx2, blocks.source).is_finite(0));
}

class ResidentWeights : public testing::TestWithParam<test::ResidentDevice> {
 protected:
  // Both backends multiply the same rows, in every way there is.
  void expect_same_products(const BlockSource& blocks, int64_t rows, int64_t head_size);
  void expect_same_gates(const BlockSource& blocks, int64_t rows);
  // Activations of the type that linear layers read, normed from the same values.
  struct Normed {
    Normed(Backend& backend, int64_t rows, int64_t columns, int64_t group)
        : memory(usize(rows * (columns + 64) * 4)) {
      tensor = Tensor::matrix(memory.data(), backend.traits().linear, rows, columns);
      tensor.row_scales = (columns + group - 1) / group;
      tensor.scales = reinterpret_cast<float*>(memory.data() + usize(rows * columns * 2));
    }
    std::vector<std::byte> memory;
    Tensor tensor;
  };

  const std::unique_ptr<Backend> resident = test::make_resident(GetParam(), true),
                                 widened = test::make_resident(GetParam(), false);
  test::Random random{3};
};

void ResidentWeights::expect_same_products(const BlockSource& blocks, int64_t rows, int64_t head_size) {
  const int64_t inputs = blocks.source.inputs, outputs = blocks.source.outputs;
  const auto kept = resident->prepare(blocks.source), packed = widened->prepare(blocks.source);
  EXPECT_TRUE(kept->resident);
  EXPECT_FALSE(packed->resident);
  const std::string what = fmt::format("{} rows, {} outputs, {} inputs, {}", rows, outputs, inputs,
                                       gguf::type_name(blocks.source.blocks[0].type));
  Array x(DType::kF32, rows, inputs), norm(DType::kF32, 1, inputs);
  x.fill(random.source()), norm.fill(random.source());
  Normed normed(*resident, rows, inputs, blocks.source.gated ? kI8GatedGroup : kI8Group);
  if (!blocks.source.gated) {
    resident->rms_norm(x.tensor, norm.tensor, 1e-5f, normed.tensor);
  } else {
    Array gates(DType::kF32, rows, 2 * inputs);
    gates.fill(random.source());
    resident->gate(gates.tensor, Activation::kSilu, normed.tensor);
  }
  for (const bool accumulate : {false, true}) {
    Array want(DType::kF32, rows, outputs), got(DType::kF32, rows, outputs);
    want.fill([] { return 0.25f; }), got.fill([] { return 0.25f; });
    widened->linear(normed.tensor, *packed, want.tensor, accumulate);
    resident->linear(normed.tensor, *kept, got.tensor, accumulate);
    test::expect_same(want, got, what);
  }
  if (outputs % (2 * head_size) != 0) return;
  Array cos(DType::kF32, 7, head_size / 2), sin(DType::kF32, 7, head_size / 2);
  cos.fill(random.source()), sin.fill(random.source());
  const RopeTable table{cos.tensor, sin.tensor, true};
  std::vector<int32_t> positions(usize(rows));
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i % 7);
  const DType dtype = resident->dtype();
  Array wide(DType::kF32, rows, outputs), want_q(dtype, rows, outputs), got_q(dtype, rows, outputs);
  widened->linear_rope(normed.tensor, *packed, wide.tensor, head_size, table, positions, want_q.tensor);
  resident->linear_rope(normed.tensor, *kept, wide.tensor, head_size, table, positions, got_q.tensor);
  test::expect_same(want_q, got_q, what);
  const int64_t heads = outputs / head_size / 2;
  Array want_k(dtype, heads, rows, head_size), want_v(dtype, heads, rows, head_size);
  Array got_k(dtype, heads, rows, head_size), got_v(dtype, heads, rows, head_size);
  widened->linear_rope_store(normed.tensor, *packed, wide.tensor, table, positions,
                             {want_k.tensor, want_v.tensor, rows}, 0);
  resident->linear_rope_store(normed.tensor, *kept, wide.tensor, table, positions,
                              {got_k.tensor, got_v.tensor, rows}, 0);
  test::expect_same(want_k, got_k, what), test::expect_same(want_v, got_v, what);
}

void ResidentWeights::expect_same_gates(const BlockSource& blocks, int64_t rows) {
  const int64_t inputs = blocks.source.inputs, ffn = blocks.source.outputs / 2;
  const auto kept = resident->prepare(blocks.source), packed = widened->prepare(blocks.source);
  Array x(DType::kF32, rows, inputs), norm(DType::kF32, 1, inputs), wide(DType::kF32, rows, 2 * ffn);
  x.fill(random.source()), norm.fill(random.source());
  Normed normed(*resident, rows, inputs, kI8Group);
  resident->rms_norm(x.tensor, norm.tensor, 1e-5f, normed.tensor);
  Normed want(*resident, rows, ffn, kI8GatedGroup), got(*resident, rows, ffn, kI8GatedGroup);
  widened->linear_gate(normed.tensor, *packed, Activation::kSilu, wide.tensor, want.tensor);
  resident->linear_gate(normed.tensor, *kept, Activation::kSilu, wide.tensor, got.tensor);
  EXPECT_EQ(want.memory, got.memory) << rows << " rows, " << ffn << " gates";
}

TEST_P(ResidentWeights, MultiplyPromptsWithTheBitsOfWidenedOnes) {
  const auto& formats = test::formats_with_kernels();
  for (size_t f = 0; f < formats.size(); ++f) {
    const BlockFormatCase& next = formats[(f + 1) % formats.size()];
    for (const int64_t rows : {1, 5, 97, 211}) {
      const auto seed = static_cast<uint64_t>(rows);
      BlockSource one({formats[f]}, 77, test::row_lengths(formats[f], formats[f])[1], seed);
      expect_same_products(one, rows, 64);
      BlockSource two({formats[f], next}, 128, test::row_lengths(formats[f], next).back(), seed);
      two.source.factor = 0.7f;
      two.source.blocks[1].scale = f % 2 == 0 ? 1 : 0.3f;
      expect_same_products(two, rows, 64);
      expect_same_gates(two, rows);
      two.source.gated = true;
      expect_same_products(two, rows, 64);
    }
  }
}

TEST_P(ResidentWeights, MultiplyTheEqualizersColumns) {
  BlockSource blocks({test::formats_with_kernels()[7], test::formats_with_kernels()[9]}, 64, 512, 4);
  blocks.source.column_factors = test::some_factors(512);
  for (const int64_t rows : {1, 130}) expect_same_products(blocks, rows, 32);
}

TEST_P(ResidentWeights, ReadTablesWithTheBitsOfWidenedOnes) {
  for (const BlockFormatCase& format : test::formats_with_kernels()) {
    BlockSource blocks({format}, 133, 512, 5);
    blocks.source.table = true;
    const auto kept = resident->prepare(blocks.source), packed = widened->prepare(blocks.source);
    EXPECT_EQ(kept->bytes, blocks.source.blocks[0].data.size());
    const std::vector<int32_t> ids = {132, 0, 7, 7};
    Array want(DType::kF32, 4, 512), got(DType::kF32, 4, 512);
    widened->embed(*packed, ids, 1.5f, want.tensor);
    resident->embed(*kept, ids, 1.5f, got.tensor);
    test::expect_same(want, got, "embed");
    // Some columns, from a block's beginning on or not.
    for (const auto& [first, count] :
         {std::pair<int64_t, int64_t>{256, 256}, {0, 256}, {32, 64}, {500, 12}}) {
      Array part(DType::kF32, 4, count), of_blocks(DType::kF32, 4, count);
      widened->embed(*packed, ids, 1.5f, part.tensor, first);
      resident->embed(*kept, ids, 1.5f, of_blocks.tensor, first);
      test::expect_same(part, of_blocks, "embed columns");
      EXPECT_EQ(part.get(0, 1, 3), want.get(0, 1, first + 3));
    }
    Array x(resident->dtype(), 1, 512), want_out(DType::kF32, 1, 133), got_out(DType::kF32, 1, 133);
    x.fill(random.source());
    widened->linear(x.tensor, *packed, want_out.tensor, false);
    resident->linear(x.tensor, *kept, got_out.tensor, false);
    test::expect_same(want_out, got_out, "vocabulary");
  }
}

// Which weights stay blocks, and how many bytes a plan counts for them.
TEST_P(ResidentWeights, AreAllButThoseOf32Bits) {
  BackendOptions options = backend_options("cpu", GetParam().dtype, 1, GetParam().isa);
  options.resident = true;
  const auto stays = [&](gguf::TensorType type) {
    BlockSource blocks({{type, {}}}, 4, 256, 6);
    for (const TypedBlocks& part : blocks.source.blocks) std::memset(blocks.block(0, 0), 0, part.data.size());
    const auto weight = resident->prepare(blocks.source);
    EXPECT_EQ(weight->bytes, claa::weight_bytes(options, blocks.source));
    return weight->resident;
  };
  for (const gguf::TensorType type : gguf::all_types())
    EXPECT_EQ(stays(type), type != gguf::TensorType::kF32) << gguf::type_name(type);
}

TEST_P(ResidentWeights, RefuseValuesThatAreNoNumbers) {
  BlockSource blocks({test::formats_with_kernels()[0]}, 70, 64, 7);
  const auto fill = blocks.source.fill;
  blocks.source.fill = [&](int64_t first, int64_t count, float* to) {
    EXPECT_EQ(first, 65);
    EXPECT_EQ(count, 1);
    fill(first, count, to);
    fail(ErrorCode::kCorruptFile, "row {}", first);
  };
  EXPECT_NO_THROW(resident->prepare(blocks.source));
  *blocks.block(0, 65 * 68 + 34 + 1) = std::byte{0x7c};
  EXPECT_THROW(resident->prepare(blocks.source), Error);
}

// In f32 nothing is rounded, in a decode step either.
TEST_P(ResidentWeights, RoundInDecodeStepsAlone) {
  BlockSource blocks({test::formats_with_kernels()[7]}, 64, 512, 8);
  const auto kept = resident->prepare(blocks.source), packed = widened->prepare(blocks.source);
  Array x(resident->dtype(), 1, 512), want(DType::kF32, 1, 64), got(DType::kF32, 1, 64);
  x.fill(random.source());
  widened->linear(x.tensor, *packed, want.tensor, false);
  resident->decode([&] { resident->linear(x.tensor, *kept, got.tensor, false); });
  EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), 256) == 0, GetParam().dtype == "f32");
  Array repeated(DType::kF32, 1, 64);
  resident->repeat([&] { resident->linear(x.tensor, *kept, repeated.tensor, false); });
  test::expect_same(got, repeated, "repeat() is a decode step too");
  EXPECT_THROW(resident->decode([] { fail(ErrorCode::kCancelled, "stop"); }), Error);
  resident->linear(x.tensor, *kept, got.tensor, false);
  test::expect_same(want, got, "after a step that failed");
}

// Without those whose widened weights are oneDNN's, which adds in another order: bf16 on a CPU with AMX.
std::vector<test::ResidentDevice> devices_of_own_products() {
  std::vector<test::ResidentDevice> listed = test::resident_devices({"f32", "bf16", "int8"});
  std::erase_if(listed, [](const test::ResidentDevice& device) {
    return device.dtype == "bf16" && device.isa.empty() && cpu::onednn_has_amx();
  });
  return listed;
}

INSTANTIATE_TEST_SUITE_P(Devices, ResidentWeights, testing::ValuesIn(devices_of_own_products()),
                         test::resident_name);

}  // namespace
}  // namespace claa::cpu
