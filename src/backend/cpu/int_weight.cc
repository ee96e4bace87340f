#include "backend/cpu/int_weight.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

namespace claa::cpu {

// rows [count, inputs] -> one panel; the outputs beyond `count` are zero.
void IntLinear::pack_panel(const float* rows, int64_t panel, int64_t count, IntWeight& weight) const {
  const int64_t width = kernels_.panel, inputs = weight.inputs, groups = weight.groups(),
                units = weight.unit_count();
  int8_t* to = weight.units.data() + panel * units * width * 4;
  int32_t* offsets = weight.offsets.data() + panel * groups * width;
  float* scales = weight.scales.data() + panel * groups * width;
  if (count < width) {
    std::fill_n(to, units * width * 4, int8_t{0});
    std::fill_n(offsets, groups * width, 0);
    std::fill_n(scales, groups * width, 0.0f);
  }
  std::vector<uint8_t> row(static_cast<size_t>(units * 4));
  std::vector<float> row_scales(static_cast<size_t>(groups));
  for (int64_t column = 0; column < count; ++column) {
    kernels_.quantize(rows + column * inputs, false, inputs, weight.group, row.data(), row_scales.data());
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = g * weight.group, end = std::min(first + weight.group, 4 * units);
      const auto begin = row.begin();
      const int sum = std::accumulate(begin + first, begin + end, 0);  // of values plus 128
      offsets[g * width + column] = -128 * (sum - 128 * static_cast<int>(end - first));
      scales[g * width + column] = row_scales[static_cast<size_t>(g)];
    }
    for (int64_t u = 0; u < units; ++u) {
      uint32_t unit = 0;
      std::memcpy(&unit, row.data() + 4 * u, 4);
      unit ^= 0x80808080u;  // less 128, four at once
      std::memcpy(to + (u * width + column) * 4, &unit, 4);
    }
  }
}

std::unique_ptr<IntWeight> IntLinear::prepare(const WeightSource& source) const {
  auto weight = std::make_unique<IntWeight>();
  weight->outputs = source.outputs;
  weight->inputs = source.inputs;
  weight->group = source.gated ? kI8GatedGroup : kI8Group;
  const int64_t width = kernels_.panel, panels = weight->panels(width);
  weight->units.resize(static_cast<size_t>(panels * weight->unit_count() * width * 4));
  weight->offsets.resize(static_cast<size_t>(panels * weight->groups() * width));
  weight->scales.resize(weight->offsets.size());
  pack_panels(source, width, threads_, [&](const float* rows, int64_t panel, int64_t count) {
    pack_panel(rows, panel, count, *weight);
  });
  weight->bytes = weight->units.size() + 4 * (weight->offsets.size() + weight->scales.size());
  return weight;
}

void IntLinear::run(const Tensor& x, const IntWeight& weight, const Tensor& out, bool accumulate) {
  const int64_t rows = x.rows(), units = weight.unit_count(), groups = weight.groups(),
                width = kernels_.panel;
  const bool rounded = x.dtype == DType::kI8;
  require(!rounded || (x.stride[1] == 4 * units && x.row_scales == groups),
          "linear: rows of 8 bits for another weight");
  if (!rounded) {
    quantized_.resize(std::max(quantized_.size(), static_cast<size_t>(rows * units * 4)));
    row_scales_.resize(std::max(row_scales_.size(), static_cast<size_t>(rows * groups)));
  }
  const uint8_t* values = rounded ? x.ptr<uint8_t>() : quantized_.data();
  const float* scales = rounded ? x.scales : row_scales_.data();
#pragma omp parallel num_threads(threads_)
  {
    if (!rounded) {
#pragma omp for schedule(static)
      for (int64_t r = 0; r < rows; ++r) {
        kernels_.quantize(x.address(0, r), x.dtype == DType::kBF16, weight.inputs, weight.group,
                          quantized_.data() + r * units * 4, row_scales_.data() + r * groups);
      }
    }
#pragma omp for schedule(static, 1)
    for (int index = 0; index < threads_; ++index) {
      const Part part = part_of(rows, weight.panels(width), index, threads_);
      for (int64_t panel = part.first_panel; panel < part.end_panel; ++panel) {
        const int64_t next = panel + 1, end = std::min(next + 1, part.end_panel);
        for_tiles(part, {weight.bytes_of(next, end, width)}, [&](int64_t first, int64_t count) {
          with_full_panel(
              out, first, count, panel * width, width, accumulate, [&](float* to, int64_t stride) {
                kernels_.linear(static_cast<int>(count), units, values + first * units * 4,
                                scales + first * groups, weight.panel(panel, width), to, stride, accumulate);
              });
        });
      }
    }
  }
}

void IntLinear::run_heads(const Tensor& x, const IntWeight& weight, int64_t head_size,
                          const WriteHead& write) const {
  require(x.stride[1] == weight.inputs && x.row_scales == weight.groups(),
          "linear_rope: rows of 8 bits for another weight");
  const int64_t width = kernels_.panel, panels = head_size / width;
#pragma omp parallel for schedule(static, 1) num_threads(threads_)
  for (int index = 0; index < threads_; ++index) {
    const Part part = part_of(x.rows(), weight.outputs / head_size, index, threads_);
    AlignedVector<float> sums(static_cast<size_t>(kTileRows * head_size));
    for (int64_t head = part.first_panel; head < part.end_panel; ++head) {
      const int64_t next = head + 1, end = std::min(next + 1, part.end_panel);
      for_tiles(part, {weight.bytes_of(next * panels, end * panels, width)},
                [&](int64_t first, int64_t rows) {
                  for (int64_t i = 0; i < panels; ++i) {
                    kernels_.linear(static_cast<int>(rows), weight.unit_count(), x.ptr<uint8_t>(0, first),
                                    x.scales + first * x.row_scales, weight.panel(head * panels + i, width),
                                    sums.data() + i * width, head_size, false);
                  }
                  write(head, first, rows, sums.data());
                });
    }
  }
}

// Of one tile of rows what one group of the gated values needs.
struct IntLinear::GatedTile {
  alignas(kLine) std::array<float, kTileRows * 2 * kI8GatedGroup> sums;  // [rows, gates and what they gate]
  alignas(kLine) std::array<uint16_t, kTileRows * kI8GatedGroup> products;  // [rows, group] bf16
};

void IntLinear::run_gated(const Tensor& x, const IntWeight& weight, const Kernels& floats,
                          const Tensor& out) const {
  require(x.stride[1] == weight.inputs && x.row_scales == weight.groups(),
          "linear_swiglu: rows of 8 bits for another weight");
  const int64_t width = kernels_.panel, panels = kI8GatedGroup / width;  // of the gates of a group
  const int64_t gates = weight.outputs / 2, units = weight.unit_count();
#pragma omp parallel for schedule(static, 1) num_threads(threads_)
  for (int index = 0; index < threads_; ++index) {
    const Part part = part_of(x.rows(), gates / kI8GatedGroup, index, threads_);
    const auto tile = std::make_unique<GatedTile>();
    for (int64_t group = part.first_panel; group < part.end_panel; ++group) {
      const int64_t gate = group * panels, up = gate + gates / width;
      const int64_t more = group + 1 < part.end_panel ? panels : 0;
      for_tiles(part,
                {weight.bytes_of(gate + panels, gate + panels + more, width),
                 weight.bytes_of(up + panels, up + panels + more, width)},
                [&](int64_t first, int64_t rows) {
                  const int m = static_cast<int>(rows);
                  for (int64_t i = 0; i < 2 * panels; ++i) {
                    const int64_t panel = i < panels ? gate + i : up + i - panels;
                    kernels_.linear(m, units, x.ptr<uint8_t>(0, first), x.scales + first * x.row_scales,
                                    weight.panel(panel, width), tile->sums.data() + i * width,
                                    2 * kI8GatedGroup, false);
                  }
                  floats.swiglu(m, tile->sums.data(), tile->sums.data() + kI8GatedGroup, 2 * kI8GatedGroup,
                                kI8GatedGroup, tile->products.data(), kI8GatedGroup, true);
                  for (int64_t r = 0; r < rows; ++r) {
                    kernels_.quantize(tile->products.data() + r * kI8GatedGroup, true, kI8GatedGroup,
                                      kI8GatedGroup, out.ptr<uint8_t>(0, first + r) + group * kI8GatedGroup,
                                      out.scales + (first + r) * out.row_scales + group);
                  }
                });
    }
  }
}

}  // namespace claa::cpu
