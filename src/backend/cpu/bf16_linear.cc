#include "backend/cpu/bf16_linear.h"

#include <algorithm>

namespace claa::cpu {
namespace {

constexpr int64_t kPanelsAtOnce = 2;  // as the kernels take them for one tile of sums

// Rows of bf16 as units of the kernels.
const uint32_t* units_of(const Tensor& x, int64_t row) {
  return reinterpret_cast<const uint32_t*>(x.ptr<uint16_t>(0, row));
}

}  // namespace

std::unique_ptr<Bf16Weight> Bf16Linear::prepare(const WeightSource& source) const {
  auto weight = std::make_unique<Bf16Weight>();
  weight->outputs = source.outputs;
  weight->inputs = source.inputs;
  const int64_t width = kernels_.panel, units = weight->unit_count();
  weight->units.resize(static_cast<size_t>(weight->panels(width) * units * width));
  pack_panels(source, width, threads_, [&](const float* rows, int64_t panel, int64_t count) {
    std::vector<uint32_t> columns(
        static_cast<size_t>(width * units));  // of the outputs that there are; else zero
    kernels_.to_bf16(rows, count * source.inputs, reinterpret_cast<uint16_t*>(columns.data()));
    uint32_t* to = weight->units.data() + panel * units * width;
    for (int64_t u = 0; u < units; ++u) {
      for (int64_t column = 0; column < width; ++column)
        *to++ = columns[static_cast<size_t>(column * units + u)];
    }
  });
  weight->bytes = weight->units.size() * sizeof(uint32_t);
  return weight;
}

void Bf16Linear::run(const Tensor& x, const Bf16Weight& weight, const Tensor& out, bool accumulate) const {
  const int64_t width = kernels_.panel, units = weight.unit_count(), panels = weight.panels(width);
  for_tiles<NoScratch>(
      threads_, x.rows(), (panels + kPanelsAtOnce - 1) / kPanelsAtOnce,
      [&](NoScratch&, int64_t pair, int64_t first, int64_t rows) {
        const int64_t panel = pair * kPanelsAtOnce, columns = std::min(kPanelsAtOnce, panels - panel) * width;
        with_full_panel(out, first, rows, panel * width, columns, accumulate, [&](float* to, int64_t stride) {
          kernels_.gemm(static_cast<int>(rows), static_cast<int>(columns), static_cast<int>(units),
                        units_of(x, first), x.stride[1] / 2, weight.panel(panel, width), units * width, width,
                        to, stride, accumulate);
        });
      });
}

void Bf16Linear::run_heads(const Tensor& x, const Bf16Weight& weight, int64_t head_size,
                           const WriteHead& write) const {
  const int64_t width = kernels_.panel, units = weight.unit_count(), panels = head_size / width;
  for_tiles<OutputTile>(threads_, x.rows(), weight.outputs / head_size,
                        [&](OutputTile& tile, int64_t head, int64_t first, int64_t rows) {
                          kernels_.gemm(static_cast<int>(rows), static_cast<int>(head_size),
                                        static_cast<int>(units), units_of(x, first), x.stride[1] / 2,
                                        weight.panel(head * panels, width), units * width, width,
                                        tile.sums.data(), head_size, false);
                          write(head, first, rows, tile.sums.data());
                        });
}

void Bf16Linear::run_gated(const Tensor& x, const Bf16Weight& weight, const Tensor& out) const {
  const int64_t width = kernels_.panel, units = weight.unit_count(), gates = weight.panels(width) / 2;
  for_tiles<OutputTile>(
      threads_, x.rows(), gates, [&](OutputTile& tile, int64_t gate, int64_t first, int64_t rows) {
        const int m = static_cast<int>(rows), n = static_cast<int>(2 * width);
        kernels_.gemm(m, n, static_cast<int>(units), units_of(x, first), x.stride[1] / 2,
                      weight.panel(gate, width), gates * units * width, width, tile.sums.data(), n, false);
        kernels_.swiglu(m, tile.sums.data(), tile.sums.data() + width, n, width,
                        out.address(0, first, gate * width), out.stride[1], true);
      });
}

}  // namespace claa::cpu
