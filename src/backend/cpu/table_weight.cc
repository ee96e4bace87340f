#include "backend/cpu/table_weight.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/cpu/panels.h"
#include "core/usize.h"

namespace claa::cpu {

TableWeight::TableWeight(CpuProducts& products, const WeightSource& source, DType dtype)
    : products_(products), dtype_(dtype) {
  constexpr int64_t kRowsAtOnce = 32;
  outputs = source.outputs;
  inputs = source.inputs;
  bytes = usize(outputs * inputs) * dtype_bytes(dtype_);
  rows_.resize(bytes);
  pack_panels(source, kRowsAtOnce, products.threads, [&](float* rows, int64_t block, int64_t count, int) {
    std::byte* to = rows_.data() + usize(block * kRowsAtOnce * inputs) * dtype_bytes(dtype_);
    if (dtype_ == DType::kBF16) {
      products_.kernels.to_bf16(rows, count * inputs, reinterpret_cast<uint16_t*>(to));
    } else {
      std::memcpy(to, rows, usize(count * inputs) * sizeof(float));
    }
  });
}

void TableWeight::multiply(const Tensor& x, const Tensor& out, bool accumulate) const {
  require(x.dtype == dtype_, "linear: inputs of another type than the table's");
  const Kernels& kernels = products_.kernels;
  products_.threads.split(outputs, [&](int64_t first, int64_t end, int) {
    for (int64_t o = first; o < end; ++o) {
      for (int64_t r = 0; r < x.rows(); ++r) {
        const float dot =
            dtype_ == DType::kBF16
                ? kernels.dot_bf16(x.ptr<uint16_t>(0, r), static_cast<const uint16_t*>(address(o)), inputs)
                : kernels.dot_f32(x.ptr<float>(0, r), static_cast<const float*>(address(o)), inputs);
        float& y = out.ptr<float>(0, r)[o];
        y = accumulate ? y + dot : dot;
      }
    }
  });
}

void TableWeight::row(int64_t index, int64_t first, int64_t count, float* to) const {
  if (dtype_ == DType::kBF16) {
    products_.kernels.to_f32(static_cast<const uint16_t*>(address(index)) + first, count, to);
  } else {
    std::memcpy(to, static_cast<const float*>(address(index)) + first, usize(count) * sizeof(float));
  }
}

BlockTable::BlockTable(CpuProducts& products, const WeightSource& source, DType dtype,
                       std::shared_ptr<const BlockRows> blocks)
    : products_(products), dtype_(dtype), blocks_(std::move(blocks)) {
  outputs = source.outputs;
  inputs = source.inputs;
  bytes = blocks_->bytes();
}

void BlockTable::multiply(const Tensor& x, const Tensor& out, bool accumulate) const {
  require(x.dtype == dtype_, "linear: inputs of another type than the table's");
  const Kernels& kernels = products_.kernels;
  products_.unpacked.reserve(products_.threads, usize(inputs) * (sizeof(float) + sizeof(uint16_t)));
  products_.threads.split(outputs, [&](int64_t first, int64_t end, int thread) {
    auto* values = reinterpret_cast<float*>(products_.unpacked.of(thread));
    auto* rounded = reinterpret_cast<uint16_t*>(values + inputs);
    for (int64_t o = first; o < end; ++o) {
      blocks_->widen(o, 0, inputs, values);
      if (dtype_ == DType::kBF16) kernels.to_bf16(values, inputs, rounded);
      for (int64_t r = 0; r < x.rows(); ++r) {
        const float dot = dtype_ == DType::kBF16 ? kernels.dot_bf16(x.ptr<uint16_t>(0, r), rounded, inputs)
                                                 : kernels.dot_f32(x.ptr<float>(0, r), values, inputs);
        float& y = out.ptr<float>(0, r)[o];
        y = accumulate ? y + dot : dot;
      }
    }
  });
}

void BlockTable::row(int64_t index, int64_t first, int64_t count, float* to) const {
  const auto aligned = [](int64_t column) { return column % BlockRows::kSegment == 0; };
  if (aligned(first) && (aligned(count) || first + count == inputs)) {
    blocks_->widen(index, first, count, to);
  } else {
    std::vector<float> whole(usize(inputs));
    blocks_->widen(index, 0, inputs, whole.data());
    std::copy_n(whole.begin() + first, count, to);
  }
  if (dtype_ == DType::kF32) return;
  std::vector<uint16_t> rounded(usize(count));
  products_.kernels.to_bf16(to, count, rounded.data());
  products_.kernels.to_f32(rounded.data(), count, to);
}

}  // namespace claa::cpu
