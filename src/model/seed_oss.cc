// Seed-OSS: as Qwen2, with heads wider than hidden / heads, and another name for the norm before the
// feed-forward.
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

void describe_seed_oss(const gguf::File& file, ModelConfig& config) {
  describe_dense(file, config, /*interleaved=*/false);
}

std::vector<WeightSpec> seed_oss_layer_weights(const ModelConfig& config, int64_t layer) {
  std::vector<WeightSpec> weights = dense_layer_weights(config, layer);
  for (WeightSpec& weight : weights) {
    if (weight.role == Role::kFfnNorm)
      weight.tensors = {fmt::format("blk.{}.post_attention_norm.weight", layer)};
  }
  return weights;
}

}  // namespace

const Architecture kSeedOss{
    "seed_oss", describe_seed_oss, dense_model_weights, seed_oss_layer_weights, {kRopeFrequencies}};

}  // namespace claa
