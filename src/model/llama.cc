#include "model/llama.h"

#include <algorithm>
#include <array>

namespace claa {
namespace {

// The first `rows` rows of a scratch tensor, `columns` wide.
Tensor head(const Tensor& tensor, int64_t rows, int64_t columns) {
  Tensor view = Tensor::matrix(tensor.data, tensor.dtype, rows, columns);
  view.scales = tensor.scales;
  view.row_scales = tensor.row_scales;
  return view;
}

size_t on_a_line(size_t bytes) {
  return (bytes + 255) / 256 * 256;  // a cache line, of a GPU too
}

int64_t groups_of(int64_t columns, int64_t group) {
  return (columns + group - 1) / group;
}

// The same memory in a type of 8 bits: values, then the rows' scales on a line of their own.
Tensor in_8_bits(const Tensor& tensor, DType dtype, int64_t group, int64_t padded) {
  if (dtype == DType::kI8 && tensor.columns() % 4 != 0) return tensor;
  Tensor view = tensor;
  view.dtype = dtype;
  view.row_scales = dtype == DType::kI8 ? groups_of(tensor.columns(), group) : 1;
  view.scales = reinterpret_cast<float*>(static_cast<char*>(tensor.data) +
                                         on_a_line(static_cast<size_t>(padded * tensor.columns())));
  return view;
}

// One tensor of a workspace.
struct Part {
  Tensor Workspace::*tensor;
  DType dtype;
  int64_t columns;
  bool rounded = false;  // may be in a type of 8 bits
};

std::array<Part, 6> parts_of(const ModelConfig& config, DType activation, DType projected) {
  const int64_t q_size = config.heads * config.head_size;
  const int64_t wide_size = std::max(q_size, 2 * config.kv_heads * config.head_size);
  return {{{&Workspace::normed, activation, config.hidden, true},
           {&Workspace::wide, projected, wide_size},
           {&Workspace::q, activation, q_size},
           {&Workspace::attention, activation, q_size},
           {&Workspace::gate_up, projected, 2 * config.ffn},
           {&Workspace::gated, activation, config.ffn, true}}};
}

size_t bytes_of(const Part& part, int64_t rows) {
  const size_t bytes = on_a_line(static_cast<size_t>(rows * part.columns) * dtype_bytes(part.dtype));
  if (!part.rounded) return bytes;
  const size_t scales = static_cast<size_t>(rows * groups_of(part.columns, kI8GatedGroup)) * sizeof(float);
  return std::max(bytes, on_a_line(static_cast<size_t>(rows * part.columns)) + on_a_line(scales));
}

}  // namespace

Workspace::Workspace(const ModelConfig& config, Backend& backend, int64_t rows) : rows_(rows) {
  const auto parts = parts_of(config, backend.dtype(), backend.wide_dtype());
  const int64_t padded = backend.padded(rows);
  size_t total = 0;
  for (const Part& part : parts) total += bytes_of(part, padded);
  memory_ = backend.allocate(total);
  char* next = static_cast<char*>(memory_.data());
  for (const Part& part : parts) {
    this->*part.tensor = Tensor::matrix(next, part.dtype, rows, part.columns);
    next += bytes_of(part, padded);
  }
  if (const DType linear = backend.linear_dtype(); linear != backend.dtype()) {
    normed = in_8_bits(normed, linear, kI8Group, padded);
    gated = in_8_bits(gated, linear, kI8GatedGroup, padded);
  }
}

size_t Workspace::bytes_for(const ModelConfig& config, const DeviceRows& device, int64_t rows) {
  size_t total = 0;
  for (const Part& part : parts_of(config, device.dtype, device.wide))
    total += bytes_of(part, device.padded(rows));
  return total;
}

void LlamaModel::embed(std::span<const int32_t> ids, const Tensor& hidden) const {
  backend_.embed(*weights_.embedding, ids, hidden);
}

std::shared_ptr<const RopeTables> LlamaModel::rope(int64_t positions) const {
  require(positions <= config_.context, "rope: positions outside the context");
  return rope_->tables(config_.rope, positions, backend_);
}

Tensor LlamaModel::attention_norm(int64_t layer, const Tensor& hidden, Workspace& work) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  const Tensor normed = head(work.normed, hidden.rows(), config_.hidden);
  backend_.rms_norm(hidden, w.attention_norm.tensor, config_.norm_eps, normed);
  return normed;
}

void LlamaModel::project_kv(int64_t layer, const Tensor& normed, std::span<const int32_t> positions,
                            const RopeTable& rope, const KvView& kv, int64_t slot, Workspace& work) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  const Tensor projected = head(work.wide, normed.rows(), w.kv->outputs);
  if (!config_.qkv_bias) {
    backend_.linear_rope_store(normed, *w.kv, projected, rope, positions, kv, slot);
    return;
  }
  backend_.linear(normed, *w.kv, projected, false);
  backend_.add_bias(projected, w.kv_bias.tensor);
  backend_.rope_store(projected, rope, positions, kv, slot);
}

void LlamaModel::project_q(int64_t layer, const Tensor& normed, std::span<const int32_t> positions,
                           const RopeTable& rope, const Tensor& out, Workspace& work) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  const Tensor projected = head(work.wide, out.rows(), w.q->outputs);
  if (!config_.qkv_bias) {
    backend_.linear_rope(normed, *w.q, projected, config_.head_size, rope, positions, out);
    return;
  }
  backend_.linear(normed, *w.q, projected, false);
  backend_.add_bias(projected, w.q_bias.tensor);
  backend_.rope(projected, config_.head_size, rope, positions, out);
}

void LlamaModel::finish(int64_t layer, const Tensor& q, const KvView& kv, const PackedKv* packed,
                        std::span<const int32_t> visible, const Tensor& hidden, Workspace& work) const {
  attend(layer, q, kv, packed, visible, hidden, work);
  feed_forward(layer, hidden, work);
}

void LlamaModel::attend(int64_t layer, const Tensor& q, const KvView& kv, const PackedKv* packed,
                        std::span<const int32_t> visible, const Tensor& hidden, Workspace& work) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  const Tensor attention = head(work.attention, hidden.rows(), q.columns());
  backend_.attention(q, kv, packed, visible, attention);
  backend_.linear(attention, *w.output, hidden, true);
}

void LlamaModel::feed_forward(int64_t layer, const Tensor& hidden, Workspace& work) const {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  const int64_t rows = hidden.rows();
  const Tensor normed = head(work.normed, rows, config_.hidden);
  const Tensor gate_up = head(work.gate_up, rows, 2 * config_.ffn);
  const Tensor gated = head(work.gated, rows, config_.ffn);
  backend_.rms_norm(hidden, w.ffn_norm.tensor, config_.norm_eps, normed);
  backend_.linear_swiglu(normed, *w.gate_up, gate_up, gated);
  backend_.linear(gated, *w.down, hidden, true);
}

void LlamaModel::logits(const Tensor& hidden, const Tensor& out, Workspace& work) const {
  const Tensor normed = Tensor::matrix(work.normed.data, backend_.dtype(), 1, config_.hidden);
  backend_.rms_norm(hidden, weights_.final_norm.tensor, config_.norm_eps, normed);
  backend_.linear(normed, *weights_.output, out, false);
}

}  // namespace claa
