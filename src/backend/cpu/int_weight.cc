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

IntLinear::Rows IntLinear::rounded(const Tensor& x, const IntWeight& weight) {
  const int64_t units = weight.unit_count(), groups = weight.groups();
  if (x.dtype == DType::kI8) {
    require(x.stride[1] == 4 * units && x.row_scales == groups, "linear: rows of 8 bits for another weight");
    return {x.ptr<uint8_t>(), x.scales, 4 * units, groups};
  }
  quantized_.resize(std::max(quantized_.size(), static_cast<size_t>(x.rows() * units * 4)));
  row_scales_.resize(std::max(row_scales_.size(), static_cast<size_t>(x.rows() * groups)));
#pragma omp parallel for schedule(static) num_threads(threads_)
  for (int64_t r = 0; r < x.rows(); ++r) {
    kernels_.quantize(x.address(0, r), x.dtype == DType::kBF16, weight.inputs, weight.group,
                      quantized_.data() + r * units * 4, row_scales_.data() + r * groups);
  }
  return {quantized_.data(), row_scales_.data(), 4 * units, groups};
}

void IntLinear::multiply(const Rows& x, const IntWeight& weight, int64_t panel, int64_t first, int64_t rows,
                         float* to, int64_t stride, bool accumulate) const {
  kernels_.linear(static_cast<int>(rows), weight.unit_count(), x.values + first * x.stride,
                  x.scales + first * x.row_scales, weight.panel(panel, kernels_.panel), to, stride,
                  accumulate);
}

void IntLinear::run(const Tensor& x, const IntWeight& weight, const Tensor& out, bool accumulate) {
  const int64_t width = kernels_.panel;
  const Rows values = rounded(x, weight);
  for_tiles<NoScratch>(
      threads_, x.rows(), weight.panels(width), [&](NoScratch&, int64_t panel, int64_t first, int64_t rows) {
        with_full_panel(out, first, rows, panel * width, width, accumulate, [&](float* to, int64_t stride) {
          multiply(values, weight, panel, first, rows, to, stride, accumulate);
        });
      });
}

void IntLinear::run_heads(const Tensor& x, const IntWeight& weight, int64_t head_size,
                          const WriteHead& write) {
  const int64_t width = kernels_.panel, panels = head_size / width;
  const Rows values = rounded(x, weight);
  for_tiles<OutputTile>(threads_, x.rows(), weight.outputs / head_size,
                        [&](OutputTile& tile, int64_t head, int64_t first, int64_t rows) {
                          for (int64_t i = 0; i < panels; ++i) {
                            multiply(values, weight, head * panels + i, first, rows,
                                     tile.sums.data() + i * width, head_size, false);
                          }
                          write(head, first, rows, tile.sums.data());
                        });
}

void IntLinear::run_gated(const Tensor& x, const IntWeight& weight, const Kernels& floats,
                          const Tensor& out) {
  constexpr int64_t kGroup = kI8GatedGroup;
  const int64_t width = kernels_.panel, panels = kGroup / width, gates = weight.outputs / 2;
  const Rows values = rounded(x, weight);
  struct Scratch : OutputTile {                                        // gates and what they gate
    alignas(kLine) std::array<uint16_t, kTileRows * kGroup> products;  // bf16
  };
  for_tiles<Scratch>(
      threads_, x.rows(), gates / kGroup, [&](Scratch& tile, int64_t group, int64_t first, int64_t rows) {
        const int64_t gate = group * panels, up = gates / width + gate;
        float* sums = tile.sums.data();
        for (int64_t i = 0; i < panels; ++i) {
          multiply(values, weight, gate + i, first, rows, sums + i * width, 2 * kGroup, false);
          multiply(values, weight, up + i, first, rows, sums + kGroup + i * width, 2 * kGroup, false);
        }
        uint16_t* products = tile.products.data();
        floats.swiglu(static_cast<int>(rows), sums, sums + kGroup, 2 * kGroup, kGroup, products, kGroup,
                      true);
        for (int64_t r = 0; r < rows; ++r) {
          kernels_.quantize(products + r * kGroup, true, kGroup, kGroup,
                            out.ptr<uint8_t>(0, first + r) + group * kGroup,
                            out.scales + (first + r) * out.row_scales + group);
        }
      });
}

}  // namespace claa::cpu
