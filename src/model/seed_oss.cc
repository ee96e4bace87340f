// Seed-OSS: as Qwen2, with heads wider than hidden / heads, and another name for the norm before the
// feed-forward.
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

void describe_seed_oss(const gguf::File& file, ModelConfig& config) {
  describe_dense(file, config, /*interleaved=*/false);
}

}  // namespace

const Architecture kSeedOss{
    "seed_oss", describe_seed_oss, dense_model_weights, dense_layer_weights_renamed, {kRopeFrequencies}};

}  // namespace claa
