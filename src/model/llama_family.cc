// Llama, Mistral and Qwen2: norms before each branch, one RoPE, SwiGLU. Qwen2 has biases on Q, K and V.
#include <algorithm>

#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

void describe(const gguf::File& file, ModelConfig& config, bool interleaved) {
  describe_dense(file, config, interleaved);
  // Within its window sliding attention equals full attention, so the window bounds the usable context.
  const Metadata metadata(file, config.architecture);
  config.context =
      std::min(config.context, metadata.optional("attention.sliding_window", config.context, 1 << 27));
}

void describe_pairs(const gguf::File& file, ModelConfig& config) {
  describe(file, config, true);
}
void describe_halves(const gguf::File& file, ModelConfig& config) {
  describe(file, config, false);
}

}  // namespace

const Architecture kLlama{
    "llama", describe_pairs, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};
const Architecture kMistral{
    "mistral", describe_pairs, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};
const Architecture kQwen2{
    "qwen2", describe_halves, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
