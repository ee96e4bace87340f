#include "backend/cpu/int_weight.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "backend/cpu/panels.h"

namespace claa::cpu {
namespace {

constexpr int64_t kTileRows = 96;  // a panel stays in the first cache for so many

// Weights come from memory once a call: one of `parts` parts of a panel of `bytes` that comes next.
void prefetch_part(const int8_t* panel, int64_t bytes, int64_t part, int64_t parts) {
  constexpr int64_t kLine = 64;
  const int64_t share = (bytes + parts - 1) / parts, first = part * share;
  for (int64_t i = first; i < std::min(first + share, bytes); i += kLine) __builtin_prefetch(panel + i, 0, 2);
}

}  // namespace

// rows [count, inputs] -> one panel; the outputs beyond `count` are zero.
void IntLinear::pack_panel(const float* rows, int64_t panel, int64_t count, IntWeight& weight) const {
  const int64_t width = kernels_.panel, inputs = weight.inputs, groups = weight.groups(),
                units = weight.unit_count();
  int8_t* to = weight.units.data() + panel * units * width * 4;
  int32_t* offsets = weight.offsets.data() + panel * groups * width;
  float* scales = weight.scales.data() + panel * groups * width;
  std::vector<uint8_t> row(static_cast<size_t>(units * 4));
  std::vector<float> row_scales(static_cast<size_t>(groups));
  for (int64_t column = 0; column < count; ++column) {
    kernels_.quantize(rows + column * inputs, false, inputs, weight.group(), row.data(), row_scales.data());
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = g * weight.group(), end = std::min(first + weight.group(), 4 * units);
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
  const int64_t width = kernels_.panel, panels = panel_count(source.outputs, width);
  weight->units.resize(static_cast<size_t>(panels * weight->unit_count() * width * 4));
  weight->offsets.resize(static_cast<size_t>(panels * weight->groups() * width));
  weight->scales.resize(weight->offsets.size());
  pack_panels(source, width, threads_, [&](const float* rows, int64_t panel, int64_t count) {
    pack_panel(rows, panel, count, *weight);
  });
  weight->bytes = weight->units.size() + 4 * (weight->offsets.size() + weight->scales.size());
  return weight;
}

// Rows [first, first + rows) of one panel of outputs.
void IntLinear::run_tile(const IntWeight& weight, int64_t panel, int64_t first, int64_t rows,
                         const Tensor& out, bool accumulate) const {
  const int64_t width = kernels_.panel, units = weight.unit_count(), groups = weight.groups();
  const IntPanel packed{weight.group(), weight.units.data() + panel * units * width * 4,
                        weight.offsets.data() + panel * groups * width,
                        weight.scales.data() + panel * groups * width};
  const int m = static_cast<int>(rows);
  const uint8_t* a = quantized_.data() + first * units * 4;
  const float* a_scales = row_scales_.data() + first * groups;
  const int64_t columns = std::min(width, weight.outputs - panel * width);
  if (columns == width) {
    kernels_.linear(m, units, a, a_scales, packed, out.ptr<float>(0, first) + panel * width, out.stride[1],
                    accumulate);
    return;
  }
  std::vector<float> wide(static_cast<size_t>(rows * width));
  for (int64_t r = 0; accumulate && r < rows; ++r) {
    std::copy_n(out.ptr<float>(0, first + r) + panel * width, columns, wide.data() + r * width);
  }
  kernels_.linear(m, units, a, a_scales, packed, wide.data(), width, accumulate);
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(wide.data() + r * width, columns, out.ptr<float>(0, first + r) + panel * width);
  }
}

void IntLinear::run(const Tensor& x, const IntWeight& weight, const Tensor& out, bool accumulate) {
  const int64_t rows = x.rows(), units = weight.unit_count(), groups = weight.groups();
  quantized_.resize(std::max(quantized_.size(), static_cast<size_t>(rows * units * 4)));
  row_scales_.resize(std::max(row_scales_.size(), static_cast<size_t>(rows * groups)));
  const int64_t panels = panel_count(weight.outputs, kernels_.panel),
                panel_bytes = units * kernels_.panel * 4;
  const int64_t blocks = (rows + kTileRows - 1) / kTileRows;
#pragma omp parallel num_threads(threads_)
  {
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      kernels_.quantize(x.address(0, r), x.dtype == DType::kBF16, weight.inputs, weight.group(),
                        quantized_.data() + r * units * 4, row_scales_.data() + r * groups);
    }
#pragma omp for schedule(static)
    for (int64_t item = 0; item < panels * blocks; ++item) {
      const int64_t panel = item / blocks, first = item % blocks * kTileRows;
      if (panel + 1 < panels) {
        prefetch_part(weight.units.data() + (panel + 1) * panel_bytes, panel_bytes, item % blocks, blocks);
      }
      run_tile(weight, panel, first, std::min(kTileRows, rows - first), out, accumulate);
    }
  }
}

}  // namespace claa::cpu
