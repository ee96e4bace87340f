#include "backend/cpu/int_weight.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "backend/activation.h"
#include "core/usize.h"

namespace claa::cpu {

namespace {

int64_t units_of(int64_t inputs) {
  return (inputs + 3) / 4;
}
int64_t groups_of(int64_t inputs, int64_t group) {
  return (4 * units_of(inputs) + group - 1) / group;
}
int64_t group_of(bool gated) {
  return gated ? kI8GatedGroup : kI8Group;
}

}  // namespace

size_t IntWeight::bytes_for(const IntKernels& kernels, int64_t outputs, int64_t inputs, bool gated) {
  const int64_t columns = panel_count(outputs, kernels.panel) * kernels.panel;
  const int64_t scales = groups_of(inputs, group_of(gated));
  return usize(columns * (4 * units_of(inputs) + 8 * scales));
}

IntWeight::IntWeight(IntProducts& products, const WeightSource& source,
                     std::shared_ptr<const BlockRows> blocks)
    : products_(products),
      group_(group_of(source.gated)),
      width_(products.kernels.panel),
      unit_count_(units_of(source.inputs)),
      groups_(groups_of(source.inputs, group_)),
      blocks_(std::move(blocks)) {
  outputs = source.outputs;
  inputs = source.inputs;
  if (blocks_ != nullptr) {
    bytes = blocks_->bytes();
    return;
  }
  bytes = bytes_for(products.kernels, outputs, inputs, source.gated);
  stored_.resize(bytes);
  pack_panels(source, width_, products.shared.threads, [&](const float* rows, int64_t index, int64_t, int) {
    std::byte* panel = stored_.data() + usize(index) * panel_bytes();
    for (int64_t first = 0; first < inputs; first += BlockRows::kSegment)
      pack(rows + first, inputs, first, std::min(BlockRows::kSegment, inputs - first), panel);
  });
}

IntPanel IntWeight::view(const std::byte* panel) const {
  const auto* units = reinterpret_cast<const int8_t*>(panel);
  const auto* offsets = reinterpret_cast<const int32_t*>(units + 4 * unit_count_ * width_);
  return {group_, units, offsets, reinterpret_cast<const float*>(offsets + groups_ * width_)};
}

// Values, scales and sums of one output; what is missing in the last unit is zero.
void IntWeight::quantize(const float* row, int64_t n, uint32_t* units, float* scales, int32_t* sums) const {
  if (n % kRoundedGroup == 0) {
    products_.shared.blocks.to_eight_bits(row, n, group_, reinterpret_cast<int8_t*>(units), scales, sums);
    return;
  }
  const auto* values = reinterpret_cast<uint8_t*>(units);
  products_.kernels.quantize(row, false, n, group_, reinterpret_cast<uint8_t*>(units), scales);
  for (int64_t begin = 0; begin < n; begin += group_) {
    const int64_t end = std::min(begin + group_, 4 * units_of(n));
    const int sum = std::accumulate(values + begin, values + end, 0);  // of values plus 128
    sums[begin / group_] = sum - 128 * static_cast<int>(end - begin);
  }
  for (int64_t u = 0; u < units_of(n); ++u) units[u] ^= 0x80808080u;  // less 128, four at once
}

void IntWeight::pack(const float* rows, int64_t stride, int64_t first, int64_t n, std::byte* panel) const {
  constexpr int64_t kSegment = BlockRows::kSegment, kUnits = kSegment / 4;
  alignas(kLine) std::array<uint32_t, kMostPanelColumns * kUnits> units;
  std::array<float, kSegment / kI8GatedGroup> row_scales;
  std::array<int32_t, kSegment / kI8GatedGroup> row_sums;
  const int64_t first_group = first / group_, groups = groups_of(n, group_);
  auto* to = reinterpret_cast<uint32_t*>(panel) + first / 4 * width_;
  auto* offsets = reinterpret_cast<int32_t*>(panel + 4 * unit_count_ * width_) + first_group * width_;
  auto* scales = reinterpret_cast<float*>(offsets + (groups_ - first_group) * width_) + first_group * width_;
  for (int64_t column = 0; column < width_; ++column) {
    uint32_t* row = units.data() + column * kUnits;
    quantize(rows + column * stride, n, row, row_scales.data(), row_sums.data());
    for (int64_t g = 0; g < groups; ++g) {
      offsets[g * width_ + column] = -128 * row_sums[usize(g)];
      scales[g * width_ + column] = row_scales[usize(g)];
    }
  }
  products_.shared.blocks.transpose(units.data(), kUnits, width_, units_of(n), to);
}

void IntWeight::unpack(int64_t index, std::byte* panel) const {
  constexpr int64_t kSegment = BlockRows::kSegment;
  alignas(kLine) std::array<float, kMostPanelColumns * kSegment> rows;
  const int64_t count = std::min(width_, outputs - index * width_);
  for (int64_t first = 0; first < inputs; first += kSegment) {
    const int64_t n = std::min(kSegment, inputs - first);
    for (int64_t r = 0; r < count; ++r)
      blocks_->widen(index * width_ + r, first, n, rows.data() + r * kSegment);
    for (int64_t r = count; r < width_; ++r) std::fill_n(rows.data() + r * kSegment, n, 0.0f);
    pack(rows.data(), kSegment, first, n, panel);
  }
}

void IntWeight::reserve(int64_t count) const {
  if (blocks_) products_.shared.unpacked.reserve(products_.shared.threads, usize(count) * panel_bytes());
}

IntWeight::Panels IntWeight::panels(int64_t first, int64_t second, int64_t count, int thread) const {
  const auto stored = [&](int64_t index) { return stored_.data() + usize(index) * panel_bytes(); };
  if (!blocks_) return {stored(first), second < 0 ? nullptr : stored(second)};
  std::byte* to = products_.shared.unpacked.of(thread);
  std::byte* behind = to + usize(count) * panel_bytes();
  for (int64_t i = 0; i < count; ++i) unpack(first + i, to + usize(i) * panel_bytes());
  for (int64_t i = 0; second >= 0 && i < count; ++i) unpack(second + i, behind + usize(i) * panel_bytes());
  return {to, behind};
}

IntWeight::Rows IntWeight::rounded(const Tensor& x) const {
  if (x.dtype == DType::kI8) {
    require(x.stride[1] == 4 * unit_count_ && x.row_scales == groups_,
            "linear: rows of 8 bits for another weight");
    return {x.ptr<uint8_t>(), x.scales, 4 * unit_count_, groups_};
  }
  AlignedVector<uint8_t>& values = products_.quantized;
  std::vector<float>& scales = products_.row_scales;
  values.resize(std::max(values.size(), usize(x.rows() * unit_count_ * 4)));
  scales.resize(std::max(scales.size(), usize(x.rows() * groups_)));
  products_.shared.threads.split(x.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r) {
      products_.kernels.quantize(x.address(0, r), x.dtype == DType::kBF16, inputs, group_,
                                 values.data() + r * unit_count_ * 4, scales.data() + r * groups_);
    }
  });
  return {values.data(), scales.data(), 4 * unit_count_, groups_};
}

void IntWeight::multiply_panel(const Rows& x, const std::byte* panel, int64_t first, int64_t rows, float* to,
                               int64_t stride, bool accumulate) const {
  products_.kernels.linear(static_cast<int>(rows), unit_count_, x.values + first * x.stride,
                           x.scales + first * x.row_scales, view(panel), to, stride, accumulate);
}

void IntWeight::multiply(const Tensor& x, const Tensor& out, bool accumulate) const {
  const Rows values = rounded(x);
  reserve(1);
  for_tiles<NoScratch>(
      products_.shared.threads, sharing(), x.rows(), panel_count(outputs, width_),
      [&](int64_t index, int thread) { return panels(index, -1, 1, thread); },
      [&](NoScratch&, const Panels& some, int64_t index, int64_t first, int64_t rows) {
        with_full_panel(out, first, rows, index * width_, width_, accumulate, [&](float* to, int64_t stride) {
          multiply_panel(values, some.first, first, rows, to, stride, accumulate);
        });
      });
}

bool IntWeight::multiply_heads(const Tensor& x, int64_t head_size, const WriteHead& write) const {
  // No panel may hold parts of two heads.
  if (head_size % width_ != 0 || head_size > kTileColumns) return false;
  const int64_t count = head_size / width_;
  const Rows values = rounded(x);
  reserve(count);
  for_tiles<OutputTile>(
      products_.shared.threads, sharing(), x.rows(), outputs / head_size,
      [&](int64_t head, int thread) { return panels(head * count, -1, count, thread); },
      [&](OutputTile& tile, const Panels& some, int64_t head, int64_t first, int64_t rows) {
        for (int64_t i = 0; i < count; ++i) {
          multiply_panel(values, some.first + usize(i) * panel_bytes(), first, rows,
                         tile.sums.data() + i * width_, head_size, false);
        }
        write(head, first, rows, tile.sums.data());
      });
  return true;
}

bool IntWeight::multiply_gated(const Tensor& x, Activation activation, const Tensor& out) const {
  constexpr int64_t kGroup = kI8GatedGroup;
  // No group of what is gated may lie across the end of the gates.
  if (out.dtype != DType::kI8 || outputs % (2 * kGroup) != 0) return false;
  const int64_t count = kGroup / width_, gates = outputs / 2;
  const Rows values = rounded(x);
  reserve(2 * count);
  struct Scratch : OutputTile {                                        // gates and what they gate
    alignas(kLine) std::array<uint16_t, kTileRows * kGroup> products;  // bf16
  };
  const auto find = [&](int64_t group, int thread) {
    return panels(group * count, gates / width_ + group * count, count, thread);
  };
  for_tiles<Scratch>(products_.shared.threads, sharing(), x.rows(), gates / kGroup, find,
                     [&](Scratch& tile, const Panels& some, int64_t group, int64_t first, int64_t rows) {
                       float* sums = tile.sums.data();
                       for (int64_t i = 0; i < count; ++i) {
                         const size_t at = usize(i) * panel_bytes();
                         multiply_panel(values, some.first + at, first, rows, sums + i * width_, 2 * kGroup,
                                        false);
                         multiply_panel(values, some.second + at, first, rows, sums + kGroup + i * width_,
                                        2 * kGroup, false);
                       }
                       uint16_t* gated = tile.products.data();
                       products_.shared.kernels.gate(activation, static_cast<int>(rows), sums, sums + kGroup,
                                                     2 * kGroup, kGroup, gated, kGroup, true);
                       for (int64_t r = 0; r < rows; ++r) {
                         products_.kernels.quantize(gated + r * kGroup, true, kGroup, kGroup,
                                                    out.ptr<uint8_t>(0, first + r) + group * kGroup,
                                                    out.scales + (first + r) * out.row_scales + group);
                       }
                     });
  return true;
}

}  // namespace claa::cpu
