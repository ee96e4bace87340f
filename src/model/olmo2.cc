// OLMo 2 and 3: norms after each branch and none before it, one norm over all heads of Q and one over those
// of K; OLMo 3 has a sliding window in three of four layers, which turn without yarn.
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

void describe_olmo2(const gguf::File& file, ModelConfig& config) {
  constexpr int64_t kEvery = 4;  // layer sees all, where files do not say it
  describe_dense(file, config, /*interleaved=*/false);
  for (LayerSpec& layer : config.specs) {
    layer.pre_norms = false;
    layer.post_norms = layer.wide_norms = true;
  }
  if (!has_windows(file, config)) return;
  config.ropes.push_back(plain_rope(config.ropes.front(), config.ropes.front().base));
  read_windows(file, config, kEvery);
  for (LayerSpec& layer : config.specs) layer.rope = layer.window > 0 ? 1 : 0;
}

}  // namespace

const Architecture kOlmo2{
    "olmo2", describe_olmo2, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
