// Gemma 4, text: Gemma 3's layers, whose heads are larger where they see the whole prompt. V has a norm
// without weights, and comes from K's matrix where the file has no other; attention does not scale; a layer
// scales its output. The last layers of the small models read K and V of earlier ones, and every layer looks
// its tokens up again.
#include <cmath>

#include "core/check.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

constexpr int64_t kMostHead = 1024;

// Heads, KV heads and widths of the feed-forward, which differ between the two kinds of layers.
void read_shapes(const gguf::File& file, const Metadata& metadata, ModelConfig& config) {
  if (!file.array_of("gemma4.attention.sliding_window_pattern")) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key 'gemma4.attention.sliding_window_pattern' must be a list",
         file.name());
  }
  read_windows(file, config, /*every=*/1);
  const int64_t of_windows = metadata.required("attention.key_length_swa", kMostHead);
  if (metadata.optional("attention.value_length_swa", of_windows, kMostHead) != of_windows ||
      of_windows % 2 != 0) {
    fail(ErrorCode::kUnsupported,
         "{}: heads of {} where there are windows: keys and values must be of one, even size", file.name(),
         of_windows);
  }
  const std::vector<int64_t> kv_heads =
      metadata.by_layer("attention.head_count_kv", config.layers, config.heads);
  const std::vector<int64_t> ffn = metadata.by_layer("feed_forward_length", config.layers, 1 << 20);
  for (int64_t i = 0; i < config.layers; ++i) {
    LayerSpec& layer = config.specs[usize(i)];
    layer.kv_heads = kv_heads[usize(i)];
    layer.ffn = ffn[usize(i)];
    if (layer.window > 0) layer.head_size = of_windows;
    if (config.heads % layer.kv_heads != 0) {
      fail(ErrorCode::kUnsupported, "{}: {} query heads and {} KV heads in layer {}: the heads must divide",
           file.name(), config.heads, layer.kv_heads, i);
    }
  }
  // Common numbers are those of the layers that rank.
  for (int64_t i = 0; i < config.layers; ++i) {
    if (config.spec(i).window == 0) config.kv_heads = config.kv_heads_of(i);
  }
}

// The last layers read K and V of the last layer of their kind that has its own.
void share_kv(const gguf::File& file, ModelConfig& config) {
  const uint64_t shared = file.get_uint("gemma4.attention.shared_kv_layers").value_or(0);
  if (shared >= static_cast<uint64_t>(config.layers)) {
    fail(ErrorCode::kCorruptFile, "{}: attention.shared_kv_layers is {} in a model of {} layers", file.name(),
         shared, config.layers);
  }
  const int64_t own = config.layers - static_cast<int64_t>(shared);
  for (int64_t i = own; i < config.layers; ++i) {
    LayerSpec& layer = config.specs[usize(i)];
    for (int64_t source = own - 1; source >= 0 && layer.kv_source < 0; --source) {
      if ((config.spec(source).window > 0) == (layer.window > 0)) layer.kv_source = source;
    }
    if (layer.kv_source < 0 || config.kv_heads_of(layer.kv_source) != layer.kv_heads) {
      fail(ErrorCode::kCorruptFile, "{}: layer {} shares K and V, but no layer before {} has such heads",
           file.name(), i, own);
    }
  }
}

void read_ropes(const gguf::File& file, const Metadata& metadata, ModelConfig& config) {
  const double base = metadata.number("rope.freq_base_swa", 10000);
  if (!(base > 1) || !std::isfinite(base)) {
    fail(ErrorCode::kCorruptFile, "{}: gemma4.rope.freq_base_swa is {}; it must be above 1", file.name(),
         base);
  }
  RopeConfig rope = plain_rope(config.ropes.front(), base);
  const int64_t head = metadata.required("attention.key_length_swa", kMostHead);
  rope.rotated = metadata.optional("rope.dimension_count_swa", head, head);
  if (rope.rotated % 2 != 0)
    fail(ErrorCode::kCorruptFile, "{}: rope.dimension_count_swa {} is odd; it must be even", file.name(),
         rope.rotated);
  config.ropes.push_back(std::move(rope));
}

void describe_gemma4(const gguf::File& file, ModelConfig& config) {
  const Metadata metadata(file, config.architecture, /*largest=*/true);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden));
  config.logit_cap = read_scale(file, config, "final_logit_softcapping", 0);
  read_shapes(file, metadata, config);
  share_kv(file, config);
  describe_dense(file, config, /*interleaved=*/false);
  read_ropes(file, metadata, config);
  const bool experts = file.get_uint("gemma4.expert_count").value_or(0) > 0;
  if (experts) read_experts(file, config);
  constexpr const char* kInputs = "gemma4.embedding_length_per_layer_input";
  const bool inputs = file.get_uint(kInputs).value_or(0) > 0;
  const int64_t width = inputs ? metadata.required("embedding_length_per_layer_input", 65536) : 0;
  // Of the sum of two inputs, one from a table, the mean of squares stays what it was.
  config.input_scale = std::sqrt(static_cast<float>(width) / 2);
  for (int64_t i = 0; i < config.layers; ++i) {
    LayerSpec& layer = config.specs[usize(i)];
    const auto has = [&](const char* part) {
      return file.find_tensor(fmt::format("blk.{}.{}.weight", i, part)) != nullptr;
    };
    layer.rope = layer.window > 0 ? 1 : 0;
    layer.head_norms = layer.post_norms = layer.value_norm = true;
    layer.activation = Activation::kGelu;
    layer.query_scale = std::sqrt(static_cast<float>(config.head_size_of(i)));
    layer.value_is_key = config.has_own_kv(i) && !layer.fused_qkv && !has("attn_v");
    layer.output_scale = has("layer_output_scale");
    layer.input_width = width;
    layer.beside_experts = experts;
  }
}

std::vector<WeightSpec> gemma4_model_weights(const ModelConfig& config) {
  std::vector<WeightSpec> weights = dense_model_weights(config);
  if (const int64_t width = config.specs.front().input_width; width > 0) {
    weights.push_back(
        {Role::kTokenInputs, {"per_layer_token_embd.weight"}, config.vocabulary, config.layers * width});
  }
  return weights;
}

std::vector<WeightSpec> gemma4_layer_weights(const ModelConfig& config, int64_t layer) {
  std::vector<WeightSpec> weights = dense_layer_weights(config, layer);
  const int64_t width = config.spec(layer).input_width, hidden = config.hidden;
  if (width == 0) return weights;
  const auto name = [layer](const char* part) { return fmt::format("blk.{}.{}.weight", layer, part); };
  const float over_root = 1 / std::sqrt(static_cast<float>(hidden));
  // One matrix of the file makes the inputs of all layers, one norm is that of all of them.
  const std::vector<WeightSpec> inputs{
      {Role::kInputProjection,
       {{"per_layer_model_proj.weight", layer * width, config.layers * width}},
       width,
       hidden,
       over_root},
      {Role::kInputNorm, {"per_layer_proj_norm.weight"}, 1, width, std::sqrt(0.5f)},
      {Role::kInputGate, {name("inp_gate")}, width, hidden},
      {Role::kInputOutput, {name("proj")}, hidden, width},
      {Role::kInputPostNorm, {name("post_norm")}, 1, hidden}};
  weights.insert(weights.end() - (config.spec(layer).output_scale ? 1 : 0), inputs.begin(), inputs.end());
  return weights;
}

// What a layer would make K and V of that reads those of another.
std::vector<std::string> unused_kv(const ModelConfig& config, int64_t layer) {
  std::vector<std::string> names;
  if (config.has_own_kv(layer)) return names;
  for (const char* part : {"attn_k", "attn_v", "attn_k_norm"})
    names.push_back(fmt::format("blk.{}.{}.weight", layer, part));
  return names;
}

}  // namespace

const Architecture kGemma4{"gemma4",
                           describe_gemma4,
                           gemma4_model_weights,
                           gemma4_layer_weights,
                           {kRopeFrequencies},
                           /*layers_differ=*/true,
                           unused_kv};

}  // namespace claa
