// Published model shapes, and random weights of any shape: speed without a model file.
#pragma once

#include <span>
#include <string>

#include "model/weights.h"

namespace claa {

struct NamedShape {
  std::string name;
  ModelConfig config;
};

// Shapes as published: Llama 3.1 8B, Llama 3.2 3B and 1B, Mistral Nemo 12B, Qwen 2.5 7B, SmolLM2 135M.
std::span<const NamedShape> named_shapes();

// Throws Error{kInvalidArgument} offering the names.
const ModelConfig& find_shape(const std::string& name);

// Weights of normal-like random values, scaled so that activations keep their size. The values repeat:
// drawing billions of them would take longer than what is measured.
ModelWeights random_weights(const ModelConfig& config, Backend& backend, const LoadProgress& progress = {});

}  // namespace claa
