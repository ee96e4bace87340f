// Mistral 3 (Ministral 3, newer Mistral Small): as Llama, with yarn, and queries that grow with their
// position, so that attention stays as sharp over long prompts.
#include <cmath>

#include "core/check.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

void describe_mistral3(const gguf::File& file, ModelConfig& config) {
  describe_dense(file, config, /*interleaved=*/true);
  const float scale = read_scale(file, config, "attention.temperature_scale", 0);
  if (scale == 0) return;
  RopeConfig queries = config.ropes.front();
  queries.temperature_scale = scale;
  if (!(queries.original_context >= 1) || queries.rotated != config.head_size) {
    fail(ErrorCode::kCorruptFile,
         "{}: attention.temperature_scale needs rope.scaling.original_context_length, and heads that turn as "
         "a "
         "whole ({} of {} dimensions do)",
         file.name(), queries.rotated, config.head_size);
  }
  config.ropes.push_back(queries);
  for (LayerSpec& layer : config.specs) layer.query_rope = 1;
}

}  // namespace

const Architecture kMistral3{
    "mistral3", describe_mistral3, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
