// gpt-oss: experts with biases and a clamped gate, biases on all of attention, a learned sink for every head,
// and a sliding window in every second layer.
#include "core/usize.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

constexpr int64_t kGptOssPattern = 2;  // where files do not say it

void describe_gpt_oss(const gguf::File& file, ModelConfig& config) {
  const Metadata metadata(file, config.architecture);
  describe_dense(file, config, /*interleaved=*/false);
  config.ropes.front().whole_pairs = false;  // as its authors' code; files do not say it
  read_experts(file, config);
  const std::vector<bool> windows = read_windows(file, config, kGptOssPattern);
  for (size_t i = 0; i < windows.size(); ++i) {
    LayerSpec& layer = config.specs[i];
    layer.window = windows[i] ? metadata.required("attention.sliding_window", 1 << 27) : 0;
    layer.qkv_bias = layer.output_bias = layer.expert_bias = layer.sinks = true;
    layer.activation = Activation::kClamped;
  }
}

// The norm before the experts has another name.
std::vector<WeightSpec> gpt_oss_layer_weights(const ModelConfig& config, int64_t layer) {
  std::vector<WeightSpec> weights = dense_layer_weights(config, layer);
  for (WeightSpec& weight : weights) {
    if (weight.role == Role::kFfnNorm)
      weight.tensors = {fmt::format("blk.{}.post_attention_norm.weight", layer)};
  }
  return weights;
}

}  // namespace

const Architecture kGptOss{
    "gpt-oss", describe_gpt_oss, dense_model_weights, gpt_oss_layer_weights, {kRopeFrequencies}};

}  // namespace claa
