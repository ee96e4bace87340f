// Granite 3 and 4, dense: as Llama, with four scales: of embeddings, of what a branch adds, of attention
// scores and of logits.
#include <cmath>

#include "core/check.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

// A scale of the file. Zero stands for none, as a missing key does.
float read_scale(const gguf::File& file, const Metadata& metadata, const char* key, float none = 1) {
  const double scale = metadata.number(key, 0);
  if (!(scale >= 0) || !std::isfinite(scale)) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key 'granite.{}' is {}; it must be positive and finite",
         file.name(), key, scale);
  }
  return scale == 0 ? none : static_cast<float>(scale);
}

void describe_granite(const gguf::File& file, ModelConfig& config) {
  const Metadata metadata(file, config.architecture);
  describe_dense(file, config, /*interleaved=*/true);
  config.embedding_scale = read_scale(file, metadata, "embedding_scale");
  config.residual_scale = read_scale(file, metadata, "residual_scale");
  config.logit_scale = 1 / read_scale(file, metadata, "logit_scale");
  // Scores are divided by the root of the head size, unless the file says what they are multiplied by.
  const float attention = read_scale(file, metadata, "attention.scale", 0);
  for (LayerSpec& layer : config.specs)
    layer.query_scale = attention == 0 ? 1 : attention * std::sqrt(static_cast<float>(config.head_size));
}

}  // namespace

const Architecture kGranite{"granite", describe_granite, dense_model_weights, dense_layer_weights,
                            kRopeFrequencies};

}  // namespace claa
