// gpt-oss: experts with biases and a clamped gate, biases on all of attention, a learned sink for every head,
// a sliding window in every second layer, and another name for the norm before the experts.
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

void describe_gpt_oss(const gguf::File& file, ModelConfig& config) {
  constexpr int64_t kEvery = 2;  // layer sees all, where files do not say it
  describe_dense(file, config, /*interleaved=*/false);
  config.ropes.front().whole_pairs = false;  // as its authors' code; files do not say it
  read_experts(file, config);
  read_windows(file, config, kEvery);
  for (LayerSpec& layer : config.specs) {
    layer.qkv_bias = layer.output_bias = layer.expert_bias = layer.sinks = true;
    layer.activation = Activation::kClamped;
  }
}

}  // namespace

const Architecture kGptOss{
    "gpt-oss", describe_gpt_oss, dense_model_weights, dense_layer_weights_renamed, {kRopeFrequencies}};

}  // namespace claa
