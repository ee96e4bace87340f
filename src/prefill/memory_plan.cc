#include "prefill/memory_plan.h"

#include <algorithm>

#include "model/llama.h"

namespace claa {
namespace {

size_t weight_bytes(const ModelConfig& c, const DeviceRows& device, bool byte_weights) {
  const size_t value = dtype_bytes(device.dtype), matrix_value = byte_weights ? 1 : value;
  const int64_t q_size = c.heads * c.head_size, kv_size = 2 * c.kv_heads * c.head_size;
  const int64_t layer = c.hidden * (2 * q_size + kv_size + 3 * c.ffn);
  const int64_t tables = (c.tied_output ? 1 : 2) * c.vocabulary * c.hidden;
  return static_cast<size_t>(tables) * value + static_cast<size_t>(c.layers * layer) * matrix_value;
}

}  // namespace

MemoryPlan plan_memory(const ModelConfig& config, const DeviceRows& device, bool byte_weights, int64_t tokens,
                       int64_t reserve) {
  const size_t row = static_cast<size_t>(2 * config.kv_heads * config.head_size) * dtype_bytes(device.dtype);
  MemoryPlan plan;
  plan.weights = weight_bytes(config, device, byte_weights);
  plan.hidden = static_cast<size_t>(tokens * config.hidden) * sizeof(float);
  plan.layer_kv = static_cast<size_t>(device.padded(tokens)) * row;
  plan.workspace = Workspace::bytes_for(config, device, std::min(tokens, device.chunk));
  plan.cache = static_cast<size_t>((tokens + reserve) * config.layers) * row;
  return plan;
}

void check_memory(const MemoryPlan& plan, bool whole_cache, int64_t tokens, size_t free) {
  constexpr double kGb = 1e9;
  const size_t needed = plan.from_start(whole_cache);
  if (needed <= free) return;
  const auto gb = [](size_t bytes) { return static_cast<double>(bytes) / kGb; };
  fail(
      ErrorCode::kOutOfMemory,
      "{} tokens need {:.2f} GB beside the weights (hidden states {:.2f}, K and V of a layer {:.2f}, working "
      "set {:.2f}{}), the device has {:.2f} GB free; use a shorter prompt{} or a smaller model",
      tokens, gb(needed), gb(plan.hidden), gb(plan.layer_kv), gb(plan.workspace),
      whole_cache ? fmt::format(", cache {:.2f}", gb(plan.cache)) : "", gb(free),
      whole_cache ? ", a method that keeps less" : "");
}

}  // namespace claa
