// Gemma 3, text: norms before and after each branch and of every head, a GELU gate, embeddings times the root
// of the hidden size, and a sliding window in five of six layers, which turn by a RoPE of their own.
#include <cmath>

#include "core/check.h"
#include "core/usize.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

// Files rarely say it: every sixth layer sees all, and the others turn by this base.
constexpr int64_t kPattern = 6;
constexpr double kWindowRopeBase = 10000;

// Which layers have a window: by a list with a boolean for each, or by the number n of which every n-th layer
// sees all.
std::vector<bool> read_windows(const gguf::File& file, const Metadata& metadata, int64_t layers) {
  constexpr const char* key = "attention.sliding_window_pattern";
  const std::string name = fmt::format("gemma3.{}", key);
  std::vector<bool> windows;
  if (const auto array = file.array_of(name); !array) {
    const int64_t every = metadata.optional(key, kPattern, 1024);
    for (int64_t i = 0; i < layers; ++i) windows.push_back((i + 1) % every != 0);
  } else if (array->first == gguf::ValueType::kBool) {
    windows = file.get_bools(name).value();
  } else {
    const std::vector<int64_t> listed = file.get_ints(name).value();
    for (const int64_t value : listed) windows.push_back(value != 0);
  }
  if (windows.size() != usize(layers)) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' has {} values for {} layers", file.name(), name,
         windows.size(), layers);
  }
  return windows;
}

// Scores are divided by the root of the head size; the largest model (62 layers) divides by another root.
float query_scale(const ModelConfig& config) {
  constexpr int64_t kLayersOf27B = 62;
  if (config.layers != kLayersOf27B) return 1;
  return static_cast<float>(
      std::sqrt(static_cast<double>(config.head_size * config.heads) / static_cast<double>(config.hidden)));
}

void describe_gemma3(const gguf::File& file, ModelConfig& config) {
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
  const std::vector<bool> windows = read_windows(file, metadata, config.layers);
  for (size_t i = 0; i < windows.size(); ++i) {
    LayerSpec& layer = config.specs[i];
    layer.window = windows[i] ? metadata.required("attention.sliding_window", 1 << 27) : 0;
    layer.rope = windows[i] ? 1 : 0;
    layer.head_norms = layer.post_norms = true;
    layer.query_scale = query_scale(config);
    layer.activation = Activation::kGelu;
  }
}

}  // namespace

const Architecture kGemma3{"gemma3", describe_gemma3, dense_model_weights, dense_layer_weights,
                           kRopeFrequencies};

}  // namespace claa
