#include "backend/cpu/int_weight.h"

#include <algorithm>

namespace claa::cpu {
namespace {

constexpr int64_t kTileRows = 96;      // rows that a panel stays in the first cache for
constexpr int64_t kPanelsAtOnce = 32;  // widened to f32 at a time while loading

}  // namespace

// rows [count, inputs] -> one panel; the outputs beyond `count` are zero.
void IntLinear::pack_panel(const float* rows, int64_t panel, int64_t count, IntWeight& weight) const {
  const int64_t width = kernels_.panel, inputs = weight.inputs, groups = weight.groups();
  int8_t* to = weight.units.data() + panel * weight.unit_count() * width * 4;
  int32_t* offsets = weight.offsets.data() + panel * groups * width;
  float* scales = weight.scales.data() + panel * groups * width;
  std::vector<uint8_t> row(static_cast<size_t>(weight.unit_count() * 4));
  std::vector<float> row_scales(static_cast<size_t>(groups));
  for (int64_t column = 0; column < count; ++column) {
    kernels_.quantize(rows + column * inputs, false, inputs, weight.group(), row.data(), row_scales.data());
    for (int64_t g = 0; g < groups; ++g) scales[g * width + column] = row_scales[static_cast<size_t>(g)];
    for (int64_t i = 0; i < static_cast<int64_t>(row.size()); ++i) {
      const int value = row[static_cast<size_t>(i)] - 128;
      to[(i / 4 * width + column) * 4 + i % 4] = static_cast<int8_t>(value);
      offsets[i / weight.group() * width + column] -= 128 * value;
    }
  }
}

std::unique_ptr<IntWeight> IntLinear::prepare(const WeightSource& source) const {
  auto weight = std::make_unique<IntWeight>();
  weight->outputs = source.outputs;
  weight->inputs = source.inputs;
  const int64_t width = kernels_.panel;
  const int64_t panels = (source.outputs + width - 1) / width;
  weight->units.resize(static_cast<size_t>(panels * weight->unit_count() * width * 4));
  weight->offsets.resize(static_cast<size_t>(panels * weight->groups() * width));
  weight->scales.resize(weight->offsets.size());
  const int64_t step = width * kPanelsAtOnce;
  std::vector<float> rows(static_cast<size_t>(std::min(step, source.outputs) * source.inputs));
  for (int64_t first = 0; first < source.outputs; first += step) {
    const int64_t end = std::min(first + step, source.outputs);
    source.fill(first, end - first, rows.data());
#pragma omp parallel for schedule(static) num_threads(threads_)
    for (int64_t row = first; row < end; row += width) {
      pack_panel(rows.data() + (row - first) * source.inputs, row / width, std::min(width, end - row),
                 *weight);
    }
  }
  weight->bytes = weight->units.size() + 4 * (weight->offsets.size() + weight->scales.size());
  return weight;
}

void IntLinear::run_tile(const IntWeight& weight, int64_t panel, int64_t first, int64_t rows,
                         const Tensor& out, bool accumulate) const {
  const int64_t width = kernels_.panel, units = weight.unit_count(), groups = weight.groups();
  const IntPanel packed{weight.group(), weight.units.data() + panel * units * width * 4,
                        weight.offsets.data() + panel * groups * width,
                        weight.scales.data() + panel * groups * width};
  const uint8_t* a = quantized_.data() + first * units * 4;
  const float* a_scales = row_scales_.data() + first * groups;
  const int64_t columns = std::min(width, weight.outputs - panel * width);
  const int m = static_cast<int>(rows);
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

// Weights come from memory once a call: a part of the next panel's while a tile of this one is at work.
void IntLinear::prefetch(const IntWeight& weight, int64_t panel, int64_t part, int64_t parts) const {
  constexpr int64_t kLine = 64;
  const int64_t bytes = weight.unit_count() * kernels_.panel * 4, share = (bytes + parts - 1) / parts;
  const int64_t first = panel * bytes + part * share;
  const int64_t end =
      std::min({first + share, (panel + 1) * bytes, static_cast<int64_t>(weight.units.size())});
  for (int64_t at = first; at < end; at += kLine) __builtin_prefetch(weight.units.data() + at, 0, 2);
}

void IntLinear::run(const Tensor& x, const IntWeight& weight, const Tensor& out, bool accumulate) {
  const int64_t rows = x.rows(), units = weight.unit_count(), groups = weight.groups();
  quantized_.resize(std::max(quantized_.size(), static_cast<size_t>(rows * units * 4)));
  row_scales_.resize(std::max(row_scales_.size(), static_cast<size_t>(rows * groups)));
  const int64_t panels = (weight.outputs + kernels_.panel - 1) / kernels_.panel;
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
      const int64_t first = item % blocks * kTileRows;
      prefetch(weight, item / blocks + 1, item % blocks, blocks);
      run_tile(weight, item / blocks, first, std::min(kTileRows, rows - first), out, accumulate);
    }
  }
}

}  // namespace claa::cpu
