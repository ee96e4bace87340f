#include "backend/cpu/block_rows.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/check.h"
#include "core/finite.h"
#include "core/usize.h"
#include "gguf/quants.h"

namespace claa::cpu {
namespace {

// Where the blocks of a format have scales of 16 bits, the second being the first where there is one alone:
// without one that is infinite or no number, all values are finite. Other formats have none there (-1).
constexpr std::array<std::array<int, 2>, kBlockFormats> kScales{{
    {0, 0},      // Q8_0
    {0, 0},      // Q4_0
    {0, 2},      // Q4_1
    {0, 0},      // Q5_0
    {0, 2},      // Q5_1
    {80, 82},    // Q2_K
    {108, 108},  // Q3_K
    {0, 2},      // Q4_K
    {0, 2},      // Q5_K
    {208, 208},  // Q6_K
    {0, 0},      // IQ4_NL
    {0, 0},      // IQ4_XS
    {-1, -1},    // MXFP4
    {-1, -1},    // NVFP4
    {52, 52},    // TQ1_0
    {64, 64},    // TQ2_0
    {0, 0},      // IQ1_S
    {-1, -1},    // IQ1_M
    {0, 0},      // IQ2_XXS
    {0, 0},      // IQ2_XS
    {0, 0},      // IQ2_S
    {0, 0},      // IQ3_XXS
    {0, 0},      // IQ3_S
    {-1, -1},    // F16
    {-1, -1},    // BF16
}};

bool is_finite_half(const std::byte* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof(half));
  return (half & 0x7c00) != 0x7c00;
}

}  // namespace

BlockRows::BlockRows(const BlockKernels& kernels, const WeightSource& source)
    : kernels_(kernels),
      inputs_(source.inputs),
      column_factors_(source.column_factors),
      factor_(source.factor) {
  int64_t rows = 0;
  for (const TypedBlocks& blocks : source.blocks) {
    const size_t row_bytes =
        usize(inputs_) / gguf::block_elements(blocks.type) * gguf::block_bytes(blocks.type);
    const std::optional<BlockFormat> format = block_format(blocks.type);
    require(format.has_value(), "blocks without kernels");
    require(inputs_ % gguf::block_elements(blocks.type) == 0 &&
                blocks.data.size() == usize(blocks.rows) * row_bytes,
            "blocks of another size than their rows");
    parts_.push_back({blocks.type, *format, blocks.rows, row_bytes, blocks.data.data(), blocks.scale});
    rows += blocks.rows;
  }
  require(rows == source.outputs, "blocks of another number of rows than the weight's");
}

bool BlockRows::have_kernels(const WeightSource& source, bool rounded) {
  return !source.blocks.empty() && (!rounded || source.inputs % kRoundedGroup == 0) &&
         std::all_of(source.blocks.begin(), source.blocks.end(),
                     [](const TypedBlocks& blocks) { return block_format(blocks.type).has_value(); });
}

bool BlockRows::has_floats() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const Part& part) {
    return part.format == BlockFormat::kF16 || part.format == BlockFormat::kBF16;
  });
}

BlockRows::Place BlockRows::find(int64_t row) const {
  auto part = parts_.begin();
  while (row >= part->rows) row -= part->rows, ++part;
  return {*part, part->data + usize(row) * part->row_bytes};
}

void BlockRows::widen(int64_t row, int64_t first, int64_t count, float* to) const {
  const auto [part, data] = find(row);
  const uint32_t elements = gguf::block_elements(part.type), bytes = gguf::block_bytes(part.type);
  const std::byte* blocks = data + usize(first) / elements * bytes;
  kernels_.widen[usize(part.format)](reinterpret_cast<const uint8_t*>(blocks), count, to);
  if (part.scale != 1) {
    for (int64_t i = 0; i < count; ++i) to[i] *= part.scale;
  }
  if (column_factors_ != nullptr) {
    const float* factors = column_factors_->data() + first;
    for (int64_t i = 0; i < count; ++i) to[i] *= factors[i];
  }
  if (factor_ != 1) {
    for (int64_t i = 0; i < count; ++i) to[i] *= factor_;
  }
}

void BlockRows::dots(const RoundedRows& x, int rows, int64_t first, int64_t count, float* out,
                     int64_t stride) const {
  for (int64_t i = 0; i < count; ++i) {
    const auto [part, data] = find(first + i);
    kernels_.dots[usize(part.format)](reinterpret_cast<const uint8_t*>(data), x, rows, out + i, stride);
    const float factor = part.scale * factor_;
    for (int64_t r = 0; factor != 1 && r < rows; ++r) out[r * stride + i] *= factor;
  }
}

bool BlockRows::is_finite(int64_t row) const {
  const auto [part, data] = find(row);
  const std::array<int, 2>& scales = kScales[usize(part.format)];
  if (scales[0] >= 0 && part.scale == 1) {
    const uint32_t bytes = gguf::block_bytes(part.type);
    for (size_t at = 0; at < part.row_bytes; at += bytes) {
      for (const int scale : scales) {
        if (!is_finite_half(data + at + scale)) return false;
      }
    }
    return true;
  }
  std::array<float, kSegment> values;
  for (int64_t first = 0; first < inputs_; first += kSegment) {
    const int64_t count = std::min(kSegment, inputs_ - first);
    widen(row, first, count, values.data());
    if (first_not_finite(std::span<const float>(values.data(), usize(count))) != usize(count)) return false;
  }
  return true;
}

size_t BlockRows::bytes() const {
  size_t total = 0;
  for (const Part& part : parts_) total += usize(part.rows) * part.row_bytes;
  return total;
}

}  // namespace claa::cpu
