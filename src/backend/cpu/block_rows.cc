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

using gguf::TensorType;

// Where the blocks of a format have scales of 16 bits, the second being the first where there is one alone:
// without one that is infinite or no number, all values are finite. MXFP4 has scales of another type (-1).
constexpr std::array<std::array<int, 2>, kBlockFormats> kScales{{{0, 0},
                                                                 {0, 0},
                                                                 {0, 2},
                                                                 {0, 0},
                                                                 {0, 2},
                                                                 {80, 82},
                                                                 {108, 108},
                                                                 {0, 2},
                                                                 {0, 2},
                                                                 {208, 208},
                                                                 {0, 0},
                                                                 {0, 0},
                                                                 {-1, -1}}};

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
    require(inputs_ % gguf::block_elements(blocks.type) == 0 &&
                blocks.data.size() == usize(blocks.rows) * row_bytes,
            "blocks of another size than their rows");
    parts_.push_back(
        {blocks.type, format ? static_cast<int>(*format) : -1, blocks.rows, row_bytes, blocks.data.data()});
    rows += blocks.rows;
  }
  require(rows == source.outputs, "blocks of another number of rows than the weight's");
}

bool BlockRows::have_kernels(const WeightSource& source, bool halves) {
  const auto has_kernel = [&](const TypedBlocks& blocks) {
    const bool half = blocks.type == TensorType::kF16 || blocks.type == TensorType::kBF16;
    return block_format(blocks.type).has_value() || (halves && half);
  };
  return !source.blocks.empty() && std::all_of(source.blocks.begin(), source.blocks.end(), has_kernel);
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
  if (part.kernel >= 0) {
    kernels_.widen[part.kernel](reinterpret_cast<const uint8_t*>(blocks), count, to);
  } else {
    gguf::dequantize(part.type, {blocks, usize(count) / elements * bytes}, {to, usize(count)});
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
    require(part.kernel >= 0, "blocks without a kernel for rounded rows");
    kernels_.dots[part.kernel](reinterpret_cast<const uint8_t*>(data), x, rows, out + i, stride);
    for (int64_t r = 0; factor_ != 1 && r < rows; ++r) out[r * stride + i] *= factor_;
  }
}

bool BlockRows::is_finite(int64_t row) const {
  const auto [part, data] = find(row);
  if (part.kernel >= 0 && kScales[usize(part.kernel)][0] >= 0) {
    const uint32_t bytes = gguf::block_bytes(part.type);
    for (size_t at = 0; at < part.row_bytes; at += bytes) {
      for (const int scale : kScales[usize(part.kernel)]) {
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
