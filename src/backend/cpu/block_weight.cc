#include "backend/cpu/block_weight.h"

#include <algorithm>
#include <array>
#include <utility>

#include "backend/activation.h"
#include "core/usize.h"

namespace claa::cpu {

RoundedRows RowRounder::round(const CpuProducts& products, const Tensor& x, int64_t group,
                              std::span<const float> factors) {
  const int64_t n = x.columns(), rows = x.rows();
  require(n % kRoundedGroup == 0, "linear: rows that are no whole number of groups");
  const auto grow = [](auto& memory, int64_t size) { memory.resize(std::max(memory.size(), usize(size))); };
  grow(row_, n), grow(values_, rows * n), grow(halves_, rows * n / kRoundedHalf);
  grow(scales_, rows * n / kRoundedGroup), grow(sums_, rows * n / kRoundedGroup);
  for (int64_t r = 0; r < rows; ++r) round_row(products, x, r, group, factors);
  return {n, values_.data(), scales_.data(), sums_.data(), halves_.data()};
}

void RowRounder::round_row(const CpuProducts& products, const Tensor& x, int64_t row, int64_t group,
                           std::span<const float> factors) {
  const int64_t n = x.columns(), groups = n / kRoundedGroup;
  int8_t* values = values_.data() + row * n;
  float* scales = scales_.data() + row * groups;
  const bool rounded = x.dtype == DType::kI8;
  if (rounded) {
    require(x.row_scales == (n + group - 1) / group, "linear: rows of 8 bits for another weight");
    const auto* from = x.ptr<uint8_t>(0, row);
    for (int64_t i = 0; i < n; ++i) values[i] = static_cast<int8_t>(from[i] - 128);
    const float* from_scales = x.scales + row * x.row_scales;
    for (int64_t g = 0; g < groups; ++g) scales[g] = from_scales[g * kRoundedGroup / group];
  } else {
    require(x.dtype == DType::kBF16, "linear: inputs of another type");
    products.kernels.to_f32(x.ptr<uint16_t>(0, row), n, row_.data());
  }
  for (int64_t i = 0; i < static_cast<int64_t>(factors.size()); ++i) {
    if (rounded) row_[usize(i)] = scales[i / kRoundedGroup] * static_cast<float>(values[i]);
    row_[usize(i)] *= factors[usize(i)];
  }
  // Rows of 8 bits keep their values, unless factors have changed them.
  if (!rounded || !factors.empty()) products.blocks.round(row_.data(), n, values, scales);
  products.blocks.sum(values, scales, n, sums_.data() + row * groups,
                      halves_.data() + row * n / kRoundedHalf);
}

BlockWeight::BlockWeight(CpuProducts& products, RowRounder& rounder, const WeightSource& source,
                         std::shared_ptr<const BlockRows> blocks, std::unique_ptr<CpuWeight> many)
    : products_(products),
      rounder_(rounder),
      group_(source.gated ? kI8GatedGroup : kI8Group),
      blocks_(std::move(blocks)),
      exact_(source.table && blocks_->has_floats()),
      many_(std::move(many)) {
  outputs = source.outputs;
  inputs = source.inputs;
  bytes = blocks_->bytes();
  resident = true;
  products_.threads.split(outputs, [&](int64_t first, int64_t end, int) {
    std::vector<float> values;
    for (int64_t row = first; row < end; ++row) {
      if (blocks_->is_finite(row)) continue;
      values.resize(usize(inputs));
      source.fill(row, 1, values.data());  // says what is wrong
    }
  });
}

void BlockWeight::multiply(const Tensor& x, const Tensor& out, bool accumulate) const {
  if (!rounds(x)) return many_->multiply(x, out, accumulate);
  constexpr int64_t kRows = 4, kOutputs = 64;  // of a tile, whose blocks stay in the second cache
  const RoundedRows rows = rounder_.round(products_, x, group_, blocks_->column_factors());
  // Small pieces, so that no thread waits long for the last of another.
  constexpr int64_t kPiece = 4 * kOutputs;
  products_.threads.run((outputs + kPiece - 1) / kPiece, [&](int64_t piece, int) {
    const int64_t first = piece * kPiece, end = std::min(first + kPiece, outputs);
    std::array<float, kRows * kOutputs> sums;
    for (int64_t o = first; o < end; o += kOutputs) {
      const int64_t count = std::min(kOutputs, end - o);
      for (int64_t r = 0; r < x.rows(); r += kRows) {
        const int64_t some = std::min(kRows, x.rows() - r);
        blocks_->dots(rows.from(r), static_cast<int>(some), o, count, sums.data(), kOutputs);
        for (int64_t i = 0; i < some; ++i) {
          float* to = out.ptr<float>(0, r + i) + o;
          const float* from = sums.data() + i * kOutputs;
          for (int64_t c = 0; c < count; ++c) to[c] = accumulate ? to[c] + from[c] : from[c];
        }
      }
    }
  });
}

bool BlockWeight::multiply_heads(const Tensor& x, int64_t head_size, const WriteHead& write) const {
  return !rounds(x) && many_->multiply_heads(x, head_size, write);
}

bool BlockWeight::multiply_gated(const Tensor& x, Activation activation, const Tensor& out) const {
  return !rounds(x) && many_->multiply_gated(x, activation, out);
}

void BlockWeight::row(int64_t index, int64_t first, int64_t count, float* to) const {
  many_->row(index, first, count, to);
}

}  // namespace claa::cpu
