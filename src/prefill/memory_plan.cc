#include "prefill/memory_plan.h"

#include <algorithm>

#include "core/counts.h"
#include "core/usize.h"
#include "model/model.h"
#include "model/recurrent_state.h"

namespace claa {
namespace {

// Of the process's memory that the tokenizer takes, per token of the vocabulary; measured.
constexpr size_t kTokenBytes = 172;

// Room for the widest weight of a layer, and for all experts of one, as far as the device unpacks at a time.
size_t unpacked_bytes(const ModelConfig& config, const DeviceTraits& device) {
  if (device.unpacked_bytes == 0) return 0;
  size_t dense = 0, experts = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const WeightSpec& weight : config.family->layer_weights(config, layer)) {
      const size_t bytes = usize(weight.rows() * weight.inputs) * dtype_bytes(device.dtype);
      if (kind_of(weight.role) == WeightKind::kMatrix) dense = std::max(dense, bytes);
      if (kind_of(weight.role) == WeightKind::kExperts)
        experts = std::max(experts, usize(weight.experts) * bytes);
    }
  }
  return std::min(dense, device.unpacked_bytes) + std::min(experts, device.unpacked_expert_bytes);
}

}  // namespace

size_t weight_bytes(const ModelConfig& config, const BackendOptions& options, const gguf::File* file) {
  size_t total = 0;
  const auto add = [&](const std::vector<WeightSpec>& weights) {
    for (const WeightSpec& weight : weights) {
      const WeightKind kind = kind_of(weight.role);
      if (kind != WeightKind::kMatrix && kind != WeightKind::kExperts) continue;
      total += usize(std::max<int64_t>(1, weight.experts)) * weight_bytes(options, source_of(weight, file));
    }
  };
  add(config.family->model_weights(config));
  for (int64_t layer = 0; layer < config.layers; ++layer) add(config.family->layer_weights(config, layer));
  return total;
}

MemoryPlan plan_memory(const ModelConfig& config, const DeviceTraits& device, int64_t tokens,
                       int64_t reserve) {
  int64_t widest = 0, held = 0;  // values of K in a row
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    if (config.is_kv_source(layer)) {
      held += config.kv_size(layer);
    } else if (config.stores_kv(layer)) {
      widest = std::max(widest, config.kv_size(layer));
    }
  }
  MemoryPlan plan;
  if (device.program_bytes > 0) plan.program = device.program_bytes + usize(config.vocabulary) * kTokenBytes;
  plan.hidden = usize(tokens * config.hidden) * sizeof(float);
  plan.layer_kv = usize(device.padded(tokens) * 2 * (widest + held)) * dtype_bytes(device.dtype);
  plan.workspace = Workspace::bytes_for(config, device, std::min(tokens, device.chunk_rows)) +
                   unpacked_bytes(config, device);
  plan.cache = cache_bytes(config, device.dtype, [&](int64_t) { return tokens + reserve; });
  return plan;
}

size_t cache_bytes(const ModelConfig& config, DType dtype, const std::function<int64_t(int64_t)>& rows_of) {
  size_t values = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    if (config.stores_kv(layer)) values += usize(rows_of(layer) * 2 * config.kv_size(layer));
  }
  const size_t states = usize(config.recurrent_layers()) * recurrent_state_bytes(config.delta);
  return values * dtype_bytes(dtype) + states;
}

void check_memory(const MemoryPlan& plan, int64_t tokens, size_t free) {
  constexpr double kGb = 1e9;
  const size_t needed = plan.prompt();
  if (needed <= free) return;
  const auto gb = [](size_t bytes) { return static_cast<double>(bytes) / kGb; };
  fail(
      ErrorCode::kOutOfMemory,
      "{} tokens need {:.2f} GB beside the weights (hidden states {:.2f}, K and V of a layer {:.2f}, working "
      "set {:.2f}, cache {:.2f}), the device has {:.2f} GB free; use a shorter prompt, a method that keeps "
      "less or a smaller model",
      group_digits(tokens), gb(needed), gb(plan.hidden), gb(plan.layer_kv), gb(plan.workspace),
      gb(plan.cache), gb(free));
}

}  // namespace claa
