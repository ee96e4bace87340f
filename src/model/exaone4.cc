// EXAONE 4: norms after each branch and none before it, norms of heads; the large model has a sliding window
// in three of four layers, and no RoPE in the others.
#include "core/usize.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

constexpr int64_t kExaonePattern = 4;  // where files do not say it

void describe_exaone4(const gguf::File& file, ModelConfig& config) {
  const Metadata metadata(file, config.architecture);
  describe_dense(file, config, /*interleaved=*/false);
  for (LayerSpec& layer : config.specs) {
    layer.pre_norms = false;
    layer.post_norms = layer.head_norms = true;
  }
  if (file.get_uint("exaone4.attention.sliding_window").value_or(0) == 0) return;
  config.ropes.push_back(no_rotation(config.ropes.front()));
  const std::vector<bool> windows = read_windows(file, config, kExaonePattern);
  for (size_t i = 0; i < windows.size(); ++i) {
    config.specs[i].window = windows[i] ? metadata.required("attention.sliding_window", 1 << 27) : 0;
    config.specs[i].rope = windows[i] ? 0 : 1;
  }
}

}  // namespace

const Architecture kExaone4{
    "exaone4", describe_exaone4, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
