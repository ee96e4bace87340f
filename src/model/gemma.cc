// Gemma 2 and 3, text: norms before and after each branch, a GELU gate, embeddings times the root of the
// hidden size, and sliding windows. Gemma 2 has them in every second layer, and soft caps; Gemma 3 in five of
// six, which turn by a RoPE of their own, and norms of heads.
#include <cmath>

#include "core/check.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

// What files rarely say: which layers see all, the base by which the others of Gemma 3 turn, and the soft
// caps and the window of Gemma 2.
constexpr int64_t kEvery2 = 2, kEvery3 = 6, kWindow2 = 4096;
constexpr double kWindowRopeBase = 10000;
constexpr float kAttentionCap = 50, kLogitCap = 30;

// Scores are divided by the root of the head size; the largest model divides by another root.
float query_scale(const ModelConfig& config, int64_t layers_of_27b) {
  if (config.layers != layers_of_27b) return 1;
  return static_cast<float>(
      std::sqrt(static_cast<double>(config.head_size * config.heads) / static_cast<double>(config.hidden)));
}

void describe_gemma2(const gguf::File& file, ModelConfig& config) {
  constexpr int64_t kLayersOf27B = 46;
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden));
  config.logit_cap = read_scale(file, config, "final_logit_softcapping", kLogitCap);
  describe_dense(file, config, /*interleaved=*/false);
  read_windows(file, config, kEvery2, kWindow2);
  const float cap = read_scale(file, config, "attn_logit_softcapping", kAttentionCap);
  for (LayerSpec& layer : config.specs) {
    layer.post_norms = true;
    layer.query_scale = query_scale(config, kLayersOf27B);
    layer.soft_cap = cap;
    layer.activation = Activation::kGelu;
  }
}

void describe_gemma3(const gguf::File& file, ModelConfig& config) {
  constexpr int64_t kLayersOf27B = 62;
  const Metadata metadata(file, config.architecture);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden));
  describe_dense(file, config, /*interleaved=*/false);
  const double base = metadata.number("rope.freq_base_swa", kWindowRopeBase);
  if (!(base > 1) || !std::isfinite(base)) {
    fail(ErrorCode::kCorruptFile, "{}: gemma3.rope.freq_base_swa is {}; it must be above 1", file.name(),
         base);
  }
  config.ropes.push_back(plain_rope(config.ropes.front(), base));
  read_windows(file, config, kEvery3);
  for (LayerSpec& layer : config.specs) {
    layer.rope = layer.window > 0 ? 1 : 0;
    layer.head_norms = layer.post_norms = true;
    layer.query_scale = query_scale(config, kLayersOf27B);
    layer.activation = Activation::kGelu;
  }
}

}  // namespace

const Architecture kGemma2{
    "gemma2", describe_gemma2, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};
const Architecture kGemma3{
    "gemma3", describe_gemma3, dense_model_weights, dense_layer_weights, {kRopeFrequencies}};

}  // namespace claa
