// Qwen3: as Llama with halves turned, a norm of every head of Q and K, and heads whose size does not follow
// from the hidden size; with experts in every layer, or without.
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

void describe_qwen3(const gguf::File& file, ModelConfig& config) {
  describe_dense(file, config, /*interleaved=*/false);
  for (LayerSpec& layer : config.specs) layer.head_norms = true;
}

void describe_qwen3moe(const gguf::File& file, ModelConfig& config) {
  describe_qwen3(file, config);
  read_experts(file, config);
}

}  // namespace

const Architecture kQwen3{
    "qwen3", describe_qwen3, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};
const Architecture kQwen3Moe{
    "qwen3moe", describe_qwen3moe, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
