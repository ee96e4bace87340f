// Granite 3 and 4, dense: as Llama, with four scales: of embeddings, of what a branch adds, of attention
// scores and of logits.
#include <cmath>

#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

void describe_granite(const gguf::File& file, ModelConfig& config) {
  describe_dense(file, config, /*interleaved=*/true);
  config.embedding_scale = read_scale(file, config, "embedding_scale");
  config.residual_scale = read_scale(file, config, "residual_scale");
  config.logit_scale = 1 / read_scale(file, config, "logit_scale");
  // Scores are divided by the root of the head size, unless the file says what they are multiplied by.
  const float attention = read_scale(file, config, "attention.scale", 0);
  for (LayerSpec& layer : config.specs)
    layer.query_scale = attention == 0 ? 1 : attention * std::sqrt(static_cast<float>(config.head_size));
}

}  // namespace

const Architecture kGranite{
    "granite", describe_granite, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
