#include "backend/cpu/panel_weight.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/usize.h"

namespace claa::cpu {
namespace {

constexpr int64_t kPanelsAtOnce = 2;  // as the kernels take them for one tile of sums
// Products of f32 that are summed before their sum is added to what is there already: one by one, each would
// be rounded to the precision of the residual stream, whose values are far larger.
constexpr int64_t kMostInputs = 640;

}  // namespace

size_t PanelWeight::bytes_for(const Kernels& kernels, int64_t outputs, int64_t inputs) {
  const int64_t units = takes_pairs(kernels, inputs) ? inputs / 2 : inputs;
  return usize(panel_count(outputs, kernels.panel) * kernels.panel * units) * sizeof(uint32_t);
}

PanelWeight::PanelWeight(CpuProducts& products, const WeightSource& source, bool rounded)
    : products_(products),
      pairs_(takes_pairs(products.kernels, source.inputs)),
      width_(products.kernels.panel),
      unit_count_(pairs_ ? source.inputs / 2 : source.inputs) {
  outputs = source.outputs;
  inputs = source.inputs;
  bytes = bytes_for(products.kernels, outputs, inputs);
  units_.resize(bytes / sizeof(uint32_t));
  const int64_t size = width_ * unit_count_;
  std::vector<uint32_t> scratch(usize(products.threads.count() * size));
  pack_panels(source, width_, products.threads, [&](float* rows, int64_t index, int64_t count, int thread) {
    uint32_t* columns = scratch.data() + thread * size;
    std::fill(columns + count * unit_count_, columns + size, 0u);  // the outputs that there are not
    if (pairs_) {
      products_.kernels.to_bf16(rows, count * inputs, reinterpret_cast<uint16_t*>(columns));
    } else {
      for (int64_t i = 0; i < count * inputs; ++i) {
        columns[i] = std::bit_cast<uint32_t>(rounded ? to_float(to_bf16(rows[i])) : rows[i]);
      }
    }
    uint32_t* to = units_.data() + index * size;
    for (int64_t u = 0; u < unit_count_; ++u) {
      for (int64_t column = 0; column < width_; ++column) *to++ = columns[column * unit_count_ + u];
    }
  });
}

PanelWeight::Rows PanelWeight::rows_of(const Tensor& x) const {
  if (x.dtype == DType::kF32) {
    require(!pairs_, "linear: inputs of f32 for a weight of bf16");
    return {x.ptr<uint32_t>(), x.stride[1]};
  }
  require(x.dtype == DType::kBF16, "linear: inputs of another type");
  if (pairs_) return {x.ptr<uint32_t>(), x.stride[1] / 2};
  std::vector<float>& wide = products_.widened;
  wide.resize(std::max(wide.size(), usize(x.rows() * inputs)));
  products_.threads.split(x.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r) {
      products_.kernels.to_f32(x.ptr<uint16_t>(0, r), inputs, wide.data() + r * inputs);
    }
  });
  return {reinterpret_cast<const uint32_t*>(wide.data()), inputs};
}

void PanelWeight::multiply_panels(const Rows& x, int64_t first, int64_t rows, const uint32_t* panels,
                                  int64_t stride, int64_t columns, float* to, int64_t to_stride,
                                  bool accumulate) const {
  products_.kernels.gemm(static_cast<int>(rows), static_cast<int>(columns), static_cast<int>(unit_count_),
                         x.from(first), x.stride, panels, stride, width_, to, to_stride, accumulate);
}

void PanelWeight::multiply(const Tensor& x, const Tensor& out, bool accumulate) const {
  const int64_t panels = panel_count(outputs, width_);
  const Rows values = rows_of(x);
  struct Scratch {
    alignas(kLine) std::array<float, kTileRows * kMostColumns> sums;
  };
  for_tiles<Scratch>(products_.threads, x.rows(), (panels + kPanelsAtOnce - 1) / kPanelsAtOnce,
                     [&](Scratch& scratch, int64_t pair, int64_t first, int64_t rows) {
                       const int64_t index = pair * kPanelsAtOnce;
                       const Tile tile{first, rows, index, std::min(kPanelsAtOnce, panels - index) * width_};
                       pairs_ ? multiply_pairs(values, tile, out, accumulate)
                              : multiply_floats(values, tile, scratch.sums.data(), out, accumulate);
                     });
}

void PanelWeight::multiply_pairs(const Rows& x, const Tile& tile, const Tensor& out, bool accumulate) const {
  with_full_panel(out, tile.first, tile.rows, tile.panel * width_, tile.columns, accumulate,
                  [&](float* to, int64_t stride) {
                    multiply_panels(x, tile.first, tile.rows, panel(tile.panel), unit_count_ * width_,
                                    tile.columns, to, stride, accumulate);
                  });
}

void PanelWeight::multiply_floats(const Rows& x, const Tile& tile, float* sums, const Tensor& out,
                                  bool accumulate) const {
  const int64_t parts = (inputs + kMostInputs - 1) / kMostInputs;
  const int64_t column = tile.panel * width_, columns = std::min(tile.columns, outputs - column);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t input = inputs * part / parts, end = inputs * (part + 1) / parts;
    products_.kernels.gemm(static_cast<int>(tile.rows), static_cast<int>(tile.columns),
                           static_cast<int>(end - input), x.from(tile.first) + input, x.stride,
                           panel(tile.panel) + input * width_, unit_count_ * width_, width_, sums,
                           tile.columns, false);
    for (int64_t r = 0; r < tile.rows; ++r) {
      float* to = out.ptr<float>(0, tile.first + r) + column;
      const float* from = sums + r * tile.columns;
      if (part > 0 || accumulate) {
        for (int64_t c = 0; c < columns; ++c) to[c] += from[c];
      } else {
        std::copy_n(from, columns, to);
      }
    }
  }
}

bool PanelWeight::multiply_heads(const Tensor& x, int64_t head_size, const WriteHead& write) const {
  // No panel may hold parts of two heads.
  if (head_size % width_ != 0 || head_size > kTileColumns) return false;
  const int64_t panels = head_size / width_;
  const Rows values = rows_of(x);
  for_tiles<OutputTile>(products_.threads, x.rows(), outputs / head_size,
                        [&](OutputTile& tile, int64_t head, int64_t first, int64_t rows) {
                          multiply_panels(values, first, rows, panel(head * panels), unit_count_ * width_,
                                          head_size, tile.sums.data(), head_size, false);
                          write(head, first, rows, tile.sums.data());
                        });
  return true;
}

bool PanelWeight::multiply_gated(const Tensor& x, Activation activation, const Tensor& out) const {
  // No panel may hold gates and what they gate.
  if (outputs % (2 * width_) != 0 || (out.dtype != DType::kF32 && out.dtype != DType::kBF16)) return false;
  const int64_t gates = outputs / width_ / 2;
  const Rows values = rows_of(x);
  for_tiles<OutputTile>(products_.threads, x.rows(), gates,
                        [&](OutputTile& tile, int64_t gate, int64_t first, int64_t rows) {
                          float* sums = tile.sums.data();
                          // The second panel is the one of the same columns among what is gated.
                          multiply_panels(values, first, rows, panel(gate), gates * unit_count_ * width_,
                                          2 * width_, sums, 2 * width_, false);
                          products_.kernels.gate(activation, static_cast<int>(rows), sums, sums + width_,
                                                 2 * width_, width_, out.address(0, first, gate * width_),
                                                 out.stride[1], out.dtype == DType::kBF16);
                        });
  return true;
}

}  // namespace claa::cpu
