// EXAONE 4: norms after each branch and none before it, norms of heads; the large model has a sliding window
// in three of four layers, and no RoPE in the others.
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

void describe_exaone4(const gguf::File& file, ModelConfig& config) {
  constexpr int64_t kEvery = 4;  // layer sees all, where files do not say it
  describe_dense(file, config, /*interleaved=*/false);
  for (LayerSpec& layer : config.specs) {
    layer.pre_norms = false;
    layer.post_norms = layer.head_norms = true;
  }
  if (!has_windows(file, config)) return;
  config.ropes.push_back(no_rotation(config.ropes.front()));
  read_windows(file, config, kEvery);
  for (LayerSpec& layer : config.specs) layer.rope = layer.window > 0 ? 0 : 1;
}

}  // namespace

const Architecture kExaone4{
    "exaone4", describe_exaone4, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
