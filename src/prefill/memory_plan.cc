#include "prefill/memory_plan.h"

#include <algorithm>

#include "model/llama.h"

namespace claa {
namespace {

// As model/weights.cc prepares them; norms and biases are too small to count.
size_t weight_bytes(const ModelConfig& c, const DeviceRows& device) {
  if (!device.weight_bytes) return 0;
  const int64_t q_size = c.heads * c.head_size, kv_size = 2 * c.kv_heads * c.head_size;
  const auto bytes = [&](int64_t outputs, int64_t inputs, bool gated = false) {
    WeightSource shape{outputs, inputs};
    shape.gated = gated;
    return device.weight_bytes(shape);
  };
  WeightSource table{c.vocabulary, c.hidden};
  table.table = true;
  const size_t layer = bytes(q_size, c.hidden) + bytes(kv_size, c.hidden) + bytes(c.hidden, q_size) +
                       bytes(2 * c.ffn, c.hidden) + bytes(c.hidden, c.ffn, true);
  return (c.tied_output ? 1 : 2) * device.weight_bytes(table) + static_cast<size_t>(c.layers) * layer;
}

}  // namespace

MemoryPlan plan_memory(const ModelConfig& config, const DeviceRows& device, int64_t tokens, int64_t reserve) {
  const size_t row = static_cast<size_t>(2 * config.kv_heads * config.head_size) * dtype_bytes(device.dtype);
  MemoryPlan plan;
  plan.weights = weight_bytes(config, device);
  plan.program = device.program;
  plan.hidden = static_cast<size_t>(tokens * config.hidden) * sizeof(float);
  plan.layer_kv = static_cast<size_t>(device.padded(tokens)) * row;
  plan.workspace = Workspace::bytes_for(config, device, std::min(tokens, device.chunk));
  plan.cache = cache_bytes(config, device.dtype, (tokens + reserve) * config.layers);
  return plan;
}

size_t cache_bytes(const ModelConfig& config, DType dtype, int64_t rows) {
  return static_cast<size_t>(rows * 2 * config.kv_heads * config.head_size) * dtype_bytes(dtype);
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
      tokens, gb(needed), gb(plan.hidden), gb(plan.layer_kv), gb(plan.workspace), gb(plan.cache), gb(free));
}

}  // namespace claa
