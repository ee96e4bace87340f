#include "model/workspace.h"

#include <algorithm>
#include <vector>

namespace claa {
namespace {

// One tensor of a workspace.
struct Part {
  Tensor* tensor;
  ActivationRole role;
  int64_t columns;
  bool of_expert = false;  // has rows for experts, see ExpertRows
};

std::vector<Part> expert_parts(const ModelConfig& config, Workspace& work) {
  int64_t experts = 0, used = 0, width = 0, shared = 0;
  for (const LayerSpec& layer : config.specs) {
    experts = std::max(experts, layer.experts);
    used = std::max(used, layer.experts_used);
    width = std::max(width, layer.expert_width);
    shared = std::max(shared, layer.shared_width);
  }
  if (experts == 0) return {};
  std::vector<Part> parts{{&work.router, ActivationRole::kBranch, experts},
                          {&work.choice.ids, ActivationRole::kIndices, used},
                          {&work.choice.weights, ActivationRole::kBranch, used},
                          {&work.of_expert.x, ActivationRole::kNormed, config.hidden, true},
                          {&work.of_expert.gate_up, ActivationRole::kGateUp, 2 * width, true},
                          {&work.of_expert.gated, ActivationRole::kGated, width, true},
                          {&work.of_expert.out, ActivationRole::kBranch, config.hidden, true}};
  if (shared == 0) return parts;
  parts.insert(parts.end(), {{&work.shared_gate, ActivationRole::kBranch, 1},
                             {&work.shared_gate_up, ActivationRole::kGateUp, 2 * shared},
                             {&work.shared_gated, ActivationRole::kGated, shared},
                             {&work.shared_out, ActivationRole::kBranch, config.hidden}});
  return parts;
}

std::vector<Part> recurrent_parts(const ModelConfig& config, Workspace& work) {
  if (config.recurrent_layers() == 0) return {};
  const DeltaHeads& heads = config.delta.heads;
  return {{&work.mixed, ActivationRole::kBranch, heads.channels()},
          {&work.rates, ActivationRole::kBranch, 2 * heads.value_heads},
          {&work.recalled, ActivationRole::kBranch, heads.values()}};
}

std::vector<Part> parts_of(const ModelConfig& config, Workspace& work) {
  const DeltaHeads& delta = config.delta.heads;  // of no size where no layer is recurrent
  int64_t q = 0, projected = delta.channels(), ffn = 0, inputs = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    q = std::max(q, config.q_size(layer));
    projected = std::max({projected, q, 2 * config.kv_size(layer)});
    ffn = std::max(ffn, config.ffn_of(layer));
    inputs = std::max(inputs, config.spec(layer).input_width);
  }
  const int64_t given = std::max(q, delta.values());
  std::vector<Part> parts{{&work.normed, ActivationRole::kNormed, config.hidden},
                          {&work.projected, ActivationRole::kProjected, projected},
                          {&work.q, ActivationRole::kQuery, q},
                          {&work.attention, ActivationRole::kAttention, given}};
  const auto any = [&](const auto& has) {
    return std::any_of(config.specs.begin(), config.specs.end(), has);
  };
  const bool beside = any([](const LayerSpec& layer) { return layer.beside_experts; });
  if (beside) parts.push_back({&work.sum, ActivationRole::kBranch, config.hidden});
  if (beside || any([](const LayerSpec& layer) { return layer.experts == 0; })) {
    parts.push_back({&work.gate_up, ActivationRole::kGateUp, 2 * ffn});
    parts.push_back({&work.gated, ActivationRole::kGated, ffn});
  }
  if (inputs > 0) {
    parts.push_back({&work.input_x, ActivationRole::kQuery, config.hidden});
    parts.push_back({&work.input_product, ActivationRole::kBranch, inputs});
    parts.push_back({&work.inputs, ActivationRole::kBranch, inputs});
    parts.push_back({&work.input_gated, ActivationRole::kQuery, inputs});
  }
  if (any([](const LayerSpec& layer) { return layer.post_norms; }))
    parts.push_back({&work.branch, ActivationRole::kBranch, config.hidden});
  if (any([](const LayerSpec& layer) { return layer.output_gate || layer.recurrent; }))
    parts.push_back({&work.gate, ActivationRole::kProjected, given});
  if (any([](const LayerSpec& layer) { return layer.experts > 0 || layer.recurrent; }))
    parts.push_back({&work.unrounded, ActivationRole::kQuery, config.hidden});
  for (const std::vector<Part>& more : {recurrent_parts(config, work), expert_parts(config, work)})
    parts.insert(parts.end(), more.begin(), more.end());
  return parts;
}

int64_t rows_of(const Part& part, const ModelConfig& config, const DeviceTraits& device, int64_t rows) {
  if (!part.of_expert) return rows;
  int64_t used = 0;
  for (const LayerSpec& layer : config.specs) used = std::max(used, layer.experts_used);
  return device.expert_rows > 0 ? std::min(rows, device.expert_rows) * used : std::max(rows, used);
}

}  // namespace

Workspace::Workspace(const ModelConfig& config, Backend& backend, int64_t rows) : rows_(rows) {
  memory_ = backend.allocate(bytes_for(config, backend.traits(), rows));
  char* next = static_cast<char*>(memory_.data());
  for (const Part& part : parts_of(config, *this)) {
    const int64_t held = rows_of(part, config, backend.traits(), rows);
    *part.tensor = activation(backend.traits(), part.role, held, part.columns, next);
    next += activation_bytes(backend.traits(), part.role, held, part.columns);
  }
}

size_t Workspace::bytes_for(const ModelConfig& config, const DeviceTraits& device, int64_t rows) {
  size_t total = 0;
  Workspace none;
  for (const Part& part : parts_of(config, none))
    total += activation_bytes(device, part.role, rows_of(part, config, device, rows), part.columns);
  return total;
}

}  // namespace claa
