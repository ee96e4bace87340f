#include "backend/cpu/int_weight.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
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

IntWeight::IntWeight(IntProducts& products, const WeightSource& source)
    : products_(products),
      group_(group_of(source.gated)),
      width_(products.kernels.panel),
      unit_count_(units_of(source.inputs)),
      groups_(groups_of(source.inputs, group_)) {
  outputs = source.outputs;
  inputs = source.inputs;
  bytes = bytes_for(products.kernels, outputs, inputs, source.gated);
  const int64_t columns = panel_count(outputs, width_) * width_;
  units_.resize(usize(columns * unit_count_ * 4));
  offsets_.resize(usize(columns * groups_));
  scales_.resize(offsets_.size());
  const PackScratch one{std::vector<uint8_t>(usize(unit_count_ * 4)), std::vector<float>(usize(groups_))};
  std::vector<PackScratch> scratch(usize(products.threads.count()), one);
  pack_panels(source, width_, products.threads,
              [&](const float* rows, int64_t index, int64_t count, int thread) {
                pack_panel(rows, index, count, scratch[usize(thread)]);
              });
}

// rows [count, inputs] -> one panel; the outputs beyond `count` are zero.
void IntWeight::pack_panel(const float* rows, int64_t panel, int64_t count, PackScratch& scratch) {
  int8_t* to = units_.data() + panel * unit_count_ * width_ * 4;
  int32_t* offsets = offsets_.data() + panel * groups_ * width_;
  float* scales = scales_.data() + panel * groups_ * width_;
  if (count < width_) {
    std::fill_n(to, unit_count_ * width_ * 4, int8_t{0});
    std::fill_n(offsets, groups_ * width_, 0);
    std::fill_n(scales, groups_ * width_, 0.0f);
  }
  for (int64_t column = 0; column < count; ++column) {
    products_.kernels.quantize(rows + column * inputs, false, inputs, group_, scratch.row.data(),
                               scratch.scales.data());
    for (int64_t g = 0; g < groups_; ++g) {
      const int64_t first = g * group_, end = std::min(first + group_, 4 * unit_count_);
      const auto begin = scratch.row.begin();
      const int sum = std::accumulate(begin + first, begin + end, 0);  // of values plus 128
      offsets[g * width_ + column] = -128 * (sum - 128 * static_cast<int>(end - first));
      scales[g * width_ + column] = scratch.scales[usize(g)];
    }
    for (int64_t u = 0; u < unit_count_; ++u) {
      uint32_t unit = 0;
      std::memcpy(&unit, scratch.row.data() + 4 * u, 4);
      unit ^= 0x80808080u;  // less 128, four at once
      std::memcpy(to + (u * width_ + column) * 4, &unit, 4);
    }
  }
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
  products_.threads.split(x.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r) {
      products_.kernels.quantize(x.address(0, r), x.dtype == DType::kBF16, inputs, group_,
                                 values.data() + r * unit_count_ * 4, scales.data() + r * groups_);
    }
  });
  return {values.data(), scales.data(), 4 * unit_count_, groups_};
}

void IntWeight::multiply_panel(const Rows& x, int64_t index, int64_t first, int64_t rows, float* to,
                               int64_t stride, bool accumulate) const {
  products_.kernels.linear(static_cast<int>(rows), unit_count_, x.values + first * x.stride,
                           x.scales + first * x.row_scales, panel(index), to, stride, accumulate);
}

void IntWeight::multiply(const Tensor& x, const Tensor& out, bool accumulate) const {
  const Rows values = rounded(x);
  for_tiles<NoScratch>(products_.threads, x.rows(), panel_count(outputs, width_),
                       [&](NoScratch&, int64_t index, int64_t first, int64_t rows) {
                         with_full_panel(out, first, rows, index * width_, width_, accumulate,
                                         [&](float* to, int64_t stride) {
                                           multiply_panel(values, index, first, rows, to, stride, accumulate);
                                         });
                       });
}

bool IntWeight::multiply_heads(const Tensor& x, int64_t head_size, const WriteHead& write) const {
  // No panel may hold parts of two heads.
  if (head_size % width_ != 0 || head_size > kTileColumns) return false;
  const int64_t panels = head_size / width_;
  const Rows values = rounded(x);
  for_tiles<OutputTile>(products_.threads, x.rows(), outputs / head_size,
                        [&](OutputTile& tile, int64_t head, int64_t first, int64_t rows) {
                          for (int64_t i = 0; i < panels; ++i) {
                            multiply_panel(values, head * panels + i, first, rows,
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
  const int64_t panels = kGroup / width_, gates = outputs / 2;
  const Rows values = rounded(x);
  struct Scratch : OutputTile {                                        // gates and what they gate
    alignas(kLine) std::array<uint16_t, kTileRows * kGroup> products;  // bf16
  };
  for_tiles<Scratch>(products_.threads, x.rows(), gates / kGroup,
                     [&](Scratch& tile, int64_t group, int64_t first, int64_t rows) {
                       const int64_t gate = group * panels, up = gates / width_ + gate;
                       float* sums = tile.sums.data();
                       for (int64_t i = 0; i < panels; ++i) {
                         multiply_panel(values, gate + i, first, rows, sums + i * width_, 2 * kGroup, false);
                         multiply_panel(values, up + i, first, rows, sums + kGroup + i * width_, 2 * kGroup,
                                        false);
                       }
                       uint16_t* gated = tile.products.data();
                       products_.floats.gate(activation, static_cast<int>(rows), sums, sums + kGroup,
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
