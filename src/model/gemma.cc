// Gemma 2 and 3, text: norms before and after each branch, a GELU gate, embeddings times the root of the
// hidden size, and sliding windows. Gemma 2 has them in every second layer, and soft caps; Gemma 3 in five of
// six, which turn by a RoPE of their own, and norms of heads.
#include <cmath>

#include "core/check.h"
#include "core/usize.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

// What files rarely say: which layers see all, the base by which the others of Gemma 3 turn, and the soft
// caps and the window of Gemma 2.
constexpr int64_t kPattern2 = 2, kPattern3 = 6;
constexpr double kWindowRopeBase = 10000, kAttentionCap = 50, kLogitCap = 30;
constexpr int64_t kWindow2 = 4096;

// Scores are divided by the root of the head size; the largest model divides by another root.
float query_scale(const ModelConfig& config, int64_t layers_of_27b) {
  if (config.layers != layers_of_27b) return 1;
  return static_cast<float>(
      std::sqrt(static_cast<double>(config.head_size * config.heads) / static_cast<double>(config.hidden)));
}

float read_cap(const gguf::File& file, const ModelConfig& config, const char* key, double usual) {
  return read_scale(file, config, key, static_cast<float>(usual));
}

void describe_gemma2(const gguf::File& file, ModelConfig& config) {
  constexpr int64_t kLayersOf27B = 46;
  const Metadata metadata(file, config.architecture);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden));
  config.logit_cap = read_cap(file, config, "final_logit_softcapping", kLogitCap);
  describe_dense(file, config, /*interleaved=*/false);
  const std::vector<bool> windows = read_windows(file, config, kPattern2);
  for (size_t i = 0; i < windows.size(); ++i) {
    LayerSpec& layer = config.specs[i];
    layer.window = windows[i] ? metadata.optional("attention.sliding_window", kWindow2, 1 << 27) : 0;
    layer.post_norms = true;
    layer.query_scale = query_scale(config, kLayersOf27B);
    layer.soft_cap = read_cap(file, config, "attn_logit_softcapping", kAttentionCap);
    layer.activation = Activation::kGelu;
  }
}

void describe_gemma3(const gguf::File& file, ModelConfig& config) {
  constexpr int64_t kLayersOf27B = 62;
  const Metadata metadata(file, config.architecture);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden));
  config.ropes.push_back(read_rope(file, metadata, config.head_size, /*interleaved=*/false));
  RopeConfig& local = config.ropes.emplace_back();
  local.base = metadata.number("rope.freq_base_swa", kWindowRopeBase);
  local.rotated = config.ropes.front().rotated;
  local.interleaved = false;
  if (!(local.base > 1) || !std::isfinite(local.base)) {
    fail(ErrorCode::kCorruptFile, "{}: gemma3.rope.freq_base_swa is {}; it must be above 1", file.name(),
         local.base);
  }
  find_fused(file, config);
  const std::vector<bool> windows = read_windows(file, config, kPattern3);
  for (size_t i = 0; i < windows.size(); ++i) {
    LayerSpec& layer = config.specs[i];
    layer.window = windows[i] ? metadata.required("attention.sliding_window", 1 << 27) : 0;
    layer.rope = windows[i] ? 1 : 0;
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
