// OLMo 2 and 3: norms after each branch and none before it, one norm over all heads of Q and one over those
// of K; OLMo 3 has a sliding window in three of four layers, which turn without yarn.
#include "core/usize.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

constexpr int64_t kOlmoPattern = 4;  // where files do not say it

void describe_olmo2(const gguf::File& file, ModelConfig& config) {
  const Metadata metadata(file, config.architecture);
  describe_dense(file, config, /*interleaved=*/false);
  for (LayerSpec& layer : config.specs) {
    layer.pre_norms = false;
    layer.post_norms = layer.wide_norms = true;
  }
  if (file.get_uint("olmo2.attention.sliding_window").value_or(0) == 0) return;
  RopeConfig plain;
  plain.base = config.ropes.front().base;
  plain.rotated = config.ropes.front().rotated;
  plain.interleaved = false;
  config.ropes.push_back(plain);
  const std::vector<bool> windows = read_windows(file, config, kOlmoPattern);
  for (size_t i = 0; i < windows.size(); ++i) {
    if (!windows[i]) continue;
    config.specs[i].window = metadata.required("attention.sliding_window", 1 << 27);
    config.specs[i].rope = 1;
  }
}

}  // namespace

const Architecture kOlmo2{
    "olmo2", describe_olmo2, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
