// Granite 3 and 4, dense: as Llama, with four scales: of embeddings, of what a branch adds, of attention
// scores and of logits.
#include <cmath>

#include "core/check.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

// A scale of the file; 1 where it has none. Zero stands for none.
float read_scale(const gguf::File& file, const Metadata& metadata, const char* key) {
  const double scale = metadata.number(key, 1);
  if (!(scale >= 0) || !std::isfinite(scale)) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key 'granite.{}' is {}; it must be positive and finite",
         file.name(), key, scale);
  }
  return scale == 0 ? 1.0f : static_cast<float>(scale);
}

void describe_granite(const gguf::File& file, ModelConfig& config) {
  const Metadata metadata(file, config.architecture);
  config.ropes.push_back(read_rope(file, metadata, config.head_size, /*interleaved=*/true));
  config.embedding_scale = read_scale(file, metadata, "embedding_scale");
  config.residual_scale = read_scale(file, metadata, "residual_scale");
  config.logit_scale = 1 / read_scale(file, metadata, "logit_scale");
  // Scores are divided by the root of the head size, unless the file says what they are multiplied by.
  const double attention = metadata.number("attention.scale", 0);
  const float scale = attention == 0 ? 1.0f
                                     : read_scale(file, metadata, "attention.scale") *
                                           std::sqrt(static_cast<float>(config.head_size));
  for (LayerSpec& layer : config.specs) layer.query_scale = scale;
}

}  // namespace

const Architecture kGranite{"granite", describe_granite, dense_model_weights, dense_layer_weights,
                            kRopeFrequencies};

}  // namespace claa
