#include "backend/cpu/panel_weight.h"

#include <algorithm>
#include <array>
#include <utility>

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

PanelWeight::PanelWeight(CpuProducts& products, const WeightSource& source, bool rounded,
                         std::shared_ptr<const BlockRows> blocks)
    : products_(products),
      pairs_(takes_pairs(products.kernels, source.inputs)),
      rounded_(rounded),
      width_(products.kernels.panel),
      unit_count_(pairs_ ? source.inputs / 2 : source.inputs),
      blocks_(std::move(blocks)) {
  outputs = source.outputs;
  inputs = source.inputs;
  if (blocks_ != nullptr) {
    bytes = blocks_->bytes();
    return;
  }
  bytes = bytes_for(products.kernels, outputs, inputs);
  units_.resize(bytes / sizeof(uint32_t));
  pack_panels(source, width_, products.threads, [&](float* rows, int64_t index, int64_t, int) {
    constexpr int64_t kSegment = BlockRows::kSegment;
    uint32_t* to = units_.data() + index * panel_units();
    for (int64_t first = 0; first < inputs; first += kSegment, to += units_of(kSegment) * width_)
      pack(rows + first, inputs, std::min(kSegment, inputs - first), to);
  });
}

void PanelWeight::pack(float* rows, int64_t stride, int64_t n, uint32_t* to) const {
  constexpr int64_t kSegment = BlockRows::kSegment;
  alignas(kLine) std::array<uint16_t, kMostPanelColumns * kSegment> pairs;
  const auto* units = reinterpret_cast<const uint32_t*>(rows);
  for (int64_t r = 0; (rounded_ || pairs_) && r < width_; ++r) {
    float* row = rows + r * stride;
    uint16_t* rounded = pairs.data() + r * kSegment;
    if (!pairs_ && n % 8 == 0) {
      products_.blocks.round_to_bf16(row, n);
      continue;
    }
    products_.kernels.to_bf16(row, n, rounded);
    if (!pairs_) products_.kernels.to_f32(rounded, n, row);
  }
  if (pairs_) units = reinterpret_cast<const uint32_t*>(pairs.data()), stride = kSegment / 2;
  products_.blocks.transpose(units, stride, width_, units_of(n), to);
}

void PanelWeight::unpack(int64_t panel, uint32_t* to) const {
  constexpr int64_t kSegment = BlockRows::kSegment;
  alignas(kLine) std::array<float, kMostPanelColumns * kSegment> rows;
  const int64_t count = std::min(width_, outputs - panel * width_);
  for (int64_t first = 0; first < inputs; first += kSegment, to += units_of(kSegment) * width_) {
    const int64_t n = std::min(kSegment, inputs - first);
    for (int64_t r = 0; r < count; ++r)
      blocks_->widen(panel * width_ + r, first, n, rows.data() + r * kSegment);
    for (int64_t r = count; r < width_; ++r) std::fill_n(rows.data() + r * kSegment, n, 0.0f);
    pack(rows.data(), kSegment, n, to);
  }
}

void PanelWeight::reserve(int64_t count) const {
  if (blocks_) products_.unpacked.reserve(products_.threads, usize(count * panel_units()) * sizeof(uint32_t));
}

PanelWeight::Panels PanelWeight::panels(int64_t first, int64_t step, int64_t count, int thread) const {
  if (!blocks_) return {units_.data() + first * panel_units(), step * panel_units()};
  auto* to = reinterpret_cast<uint32_t*>(products_.unpacked.of(thread));
  for (int64_t i = 0; i < count; ++i) unpack(first + i * step, to + i * panel_units());
  return {to, panel_units()};
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

void PanelWeight::multiply_panels(const Rows& x, int64_t first, int64_t rows, const Panels& panels,
                                  int64_t columns, float* to, int64_t to_stride, bool accumulate) const {
  products_.kernels.gemm(static_cast<int>(rows), static_cast<int>(columns), static_cast<int>(unit_count_),
                         x.from(first), x.stride, panels.units, panels.stride, width_, to, to_stride,
                         accumulate);
}

void PanelWeight::multiply(const Tensor& x, const Tensor& out, bool accumulate) const {
  const int64_t count = panel_count(outputs, width_);
  const auto panels_from = [&](int64_t index) { return std::min(kPanelsAtOnce, count - index); };
  const Rows values = rows_of(x);
  reserve(kPanelsAtOnce);
  struct Scratch {
    alignas(kLine) std::array<float, kTileRows * kMostColumns> sums;
  };
  for_tiles<Scratch>(
      products_.threads, sharing(), x.rows(), panel_count(count, kPanelsAtOnce),
      [&](int64_t pair, int thread) {
        const int64_t index = pair * kPanelsAtOnce;
        return panels(index, 1, panels_from(index), thread);
      },
      [&](Scratch& scratch, const Panels& some, int64_t pair, int64_t first, int64_t rows) {
        const int64_t index = pair * kPanelsAtOnce;
        const Tile tile{first, rows, index, panels_from(index) * width_};
        pairs_ ? multiply_pairs(values, some, tile, out, accumulate)
               : multiply_floats(values, some, tile, scratch.sums.data(), out, accumulate);
      });
}

void PanelWeight::multiply_pairs(const Rows& x, const Panels& panels, const Tile& tile, const Tensor& out,
                                 bool accumulate) const {
  with_full_panel(out, tile.first, tile.rows, tile.panel * width_, tile.columns, accumulate,
                  [&](float* to, int64_t stride) {
                    multiply_panels(x, tile.first, tile.rows, panels, tile.columns, to, stride, accumulate);
                  });
}

void PanelWeight::multiply_floats(const Rows& x, const Panels& panels, const Tile& tile, float* sums,
                                  const Tensor& out, bool accumulate) const {
  const int64_t parts = (inputs + kMostInputs - 1) / kMostInputs;
  const int64_t column = tile.panel * width_, columns = std::min(tile.columns, outputs - column);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t input = inputs * part / parts, end = inputs * (part + 1) / parts;
    products_.kernels.gemm(static_cast<int>(tile.rows), static_cast<int>(tile.columns),
                           static_cast<int>(end - input), x.from(tile.first) + input, x.stride,
                           panels.units + input * width_, panels.stride, width_, sums, tile.columns, false);
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
  const int64_t count = head_size / width_;
  const Rows values = rows_of(x);
  reserve(count);
  for_tiles<OutputTile>(
      products_.threads, sharing(), x.rows(), outputs / head_size,
      [&](int64_t head, int thread) { return panels(head * count, 1, count, thread); },
      [&](OutputTile& tile, const Panels& some, int64_t head, int64_t first, int64_t rows) {
        multiply_panels(values, first, rows, some, head_size, tile.sums.data(), head_size, false);
        write(head, first, rows, tile.sums.data());
      });
  return true;
}

bool PanelWeight::multiply_gated(const Tensor& x, Activation activation, const Tensor& out) const {
  // No panel may hold gates and what they gate.
  if (outputs % (2 * width_) != 0 || (out.dtype != DType::kF32 && out.dtype != DType::kBF16)) return false;
  const int64_t gates = outputs / width_ / 2;
  const Rows values = rows_of(x);
  reserve(2);
  for_tiles<OutputTile>(
      products_.threads, sharing(), x.rows(), gates,
      // The second panel is the one of the same columns among what is gated.
      [&](int64_t gate, int thread) { return panels(gate, gates, 2, thread); },
      [&](OutputTile& tile, const Panels& some, int64_t gate, int64_t first, int64_t rows) {
        float* sums = tile.sums.data();
        multiply_panels(values, first, rows, some, 2 * width_, sums, 2 * width_, false);
        products_.kernels.gate(activation, static_cast<int>(rows), sums, sums + width_, 2 * width_, width_,
                               out.address(0, first, gate * width_), out.stride[1],
                               out.dtype == DType::kBF16);
      });
  return true;
}

}  // namespace claa::cpu
