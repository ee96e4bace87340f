// SmolLM3: as Llama, but every fourth layer has no RoPE.
#include "core/usize.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

constexpr int64_t kEvery = 4;  // files do not say it

void describe_smollm3(const gguf::File& file, ModelConfig& config) {
  describe_dense(file, config, /*interleaved=*/true);
  config.ropes.push_back(no_rotation(config.ropes.front()));
  for (int64_t i = 0; i < config.layers; ++i) config.specs[usize(i)].rope = (i + 1) % kEvery == 0 ? 1 : 0;
}

}  // namespace

const Architecture kSmolLm3{
    "smollm3", describe_smollm3, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
