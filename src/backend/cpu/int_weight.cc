#include "backend/cpu/int_weight.h"

#include <cstring>

#include "backend/cpu/panels.h"

namespace claa::cpu {
namespace {

struct Job {
  int64_t panel_bytes() const { return weight.unit_count() * kernels.panel * 4; }
  const int8_t* panel(int64_t index) const { return weight.units.data() + index * panel_bytes(); }
  void multiply(int64_t index, int64_t first, int64_t rows, float* c, int64_t ldc) const {
    const int64_t scales = index * weight.groups() * kernels.panel;
    const IntPanel packed{weight.group(), panel(index), weight.offsets.data() + scales,
                          weight.scales.data() + scales};
    kernels.linear(static_cast<int>(rows), weight.unit_count(), x + first * weight.unit_count() * 4,
                   x_scales + first * weight.groups(), packed, c, ldc, accumulate);
  }

  const IntKernels& kernels;
  const IntWeight& weight;
  const uint8_t* x;       // [rows, units, 4]
  const float* x_scales;  // [rows, groups]
  bool accumulate;
};

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
    for (int64_t g = 0; g < groups; ++g) scales[g * width + column] = row_scales[static_cast<size_t>(g)];
    for (int64_t u = 0; u < units; ++u) {
      int8_t unit[4];
      int sum = 0;
      for (int64_t i = 0; i < 4; ++i) {
        const int value = row[static_cast<size_t>(4 * u + i)] - 128;
        unit[i] = static_cast<int8_t>(value);
        sum += value;
      }
      std::memcpy(to + (u * width + column) * 4, unit, 4);
      offsets[4 * u / weight.group() * width + column] -= 128 * sum;
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

void IntLinear::run(const Tensor& x, const IntWeight& weight, const Tensor& out, bool accumulate) {
  const int64_t rows = x.rows(), units = weight.unit_count(), groups = weight.groups();
  quantized_.resize(std::max(quantized_.size(), static_cast<size_t>(rows * units * 4)));
  row_scales_.resize(std::max(row_scales_.size(), static_cast<size_t>(rows * groups)));
  const Job job{kernels_, weight, quantized_.data(), row_scales_.data(), accumulate};
#pragma omp parallel num_threads(threads_)
  {
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      kernels_.quantize(x.address(0, r), x.dtype == DType::kBF16, weight.inputs, weight.group(),
                        quantized_.data() + r * units * 4, row_scales_.data() + r * groups);
    }
    multiply_panels(job, out, kernels_.panel, accumulate);
  }
}

}  // namespace claa::cpu
