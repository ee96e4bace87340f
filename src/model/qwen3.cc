// Qwen3, dense: as Qwen2 without biases, and with a norm of every head of Q and K before RoPE. A head may be
// wider than hidden / heads.
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

void describe_qwen3(const gguf::File& file, ModelConfig& config) {
  describe_dense(file, config, /*interleaved=*/false);
  for (LayerSpec& layer : config.specs) layer.head_norms = true;
}

}  // namespace

const Architecture kQwen3{
    "qwen3", describe_qwen3, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
