#include "model/workspace.h"

#include <algorithm>
#include <vector>

namespace claa {
namespace {

// One tensor of a workspace.
struct Part {
  Tensor Workspace::*tensor;
  ActivationRole role;
  int64_t columns;
};

std::vector<Part> parts_of(const ModelConfig& config) {
  std::vector<Part> parts{
      {&Workspace::normed, ActivationRole::kNormed, config.hidden},
      {&Workspace::projected, ActivationRole::kProjected, std::max(config.q_size(), 2 * config.kv_size())},
      {&Workspace::q, ActivationRole::kQuery, config.q_size()},
      {&Workspace::attention, ActivationRole::kAttention, config.q_size()},
      {&Workspace::gate_up, ActivationRole::kGateUp, 2 * config.ffn},
      {&Workspace::gated, ActivationRole::kGated, config.ffn}};
  const bool branches = std::any_of(config.specs.begin(), config.specs.end(),
                                    [](const LayerSpec& layer) { return layer.post_norms; });
  if (branches) parts.push_back({&Workspace::branch, ActivationRole::kBranch, config.hidden});
  return parts;
}

}  // namespace

Workspace::Workspace(const ModelConfig& config, Backend& backend, int64_t rows) : rows_(rows) {
  memory_ = backend.allocate(bytes_for(config, backend.traits(), rows));
  char* next = static_cast<char*>(memory_.data());
  for (const Part& part : parts_of(config)) {
    this->*part.tensor = activation(backend.traits(), part.role, rows, part.columns, next);
    next += activation_bytes(backend.traits(), part.role, rows, part.columns);
  }
}

size_t Workspace::bytes_for(const ModelConfig& config, const DeviceTraits& device, int64_t rows) {
  size_t total = 0;
  for (const Part& part : parts_of(config)) total += activation_bytes(device, part.role, rows, part.columns);
  return total;
}

}  // namespace claa
