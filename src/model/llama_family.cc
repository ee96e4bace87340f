#include "model/llama_family.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/usize.h"
#include "gguf/quants.h"
#include "model/config.h"
#include "model/metadata.h"

namespace claa {
namespace {

void read_rope_scaling(const gguf::File& file, const Metadata& metadata, RopeConfig& rope) {
  const std::string type = metadata.text("rope.scaling.type");
  rope.factor = metadata.number("rope.scaling.factor", metadata.number("rope.scale_linear", 1));
  rope.original_context = metadata.number("rope.scaling.original_context_length", 0);
  rope.attention_factor = metadata.number("rope.scaling.attn_factor", 0);
  rope.beta_fast = metadata.number("rope.scaling.yarn_beta_fast", rope.beta_fast);
  rope.beta_slow = metadata.number("rope.scaling.yarn_beta_slow", rope.beta_slow);
  if (!(rope.factor > 0) || !(rope.base > 1) || !std::isfinite(rope.factor) || !std::isfinite(rope.base)) {
    fail(ErrorCode::kCorruptFile, "{}: rope factor {} and base {} must be positive and finite", file.name(),
         rope.factor, rope.base);
  }
  if (type == "linear" || (type.empty() && rope.factor != 1)) {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
    if (!(rope.original_context > 0)) {
      fail(ErrorCode::kCorruptFile, "{}: yarn scaling needs rope.scaling.original_context_length",
           file.name());
    }
  } else if (!type.empty() && type != "none") {
    fail(ErrorCode::kUnsupported,
         "{}: rope scaling '{}' is not supported; this build runs none, linear, yarn and the "
         "frequency factors of Llama 3",
         file.name(), type.substr(0, 60));
  }
}

void read_frequency_factors(const gguf::File& file, RopeConfig& rope) {
  const gguf::TensorInfo* tensor = file.find_tensor("rope_freqs.weight");
  if (tensor == nullptr) return;
  if (tensor->type != gguf::TensorType::kF32 ||
      tensor->elements() != static_cast<uint64_t>(rope.rotated / 2)) {
    fail(ErrorCode::kCorruptFile, "{}: rope_freqs.weight must be {} f32 values", file.name(),
         rope.rotated / 2);
  }
  rope.frequency_factors.resize(usize(tensor->elements()));
  gguf::dequantize(tensor->type, tensor->data, rope.frequency_factors);
  for (const float factor : rope.frequency_factors) {
    if (!(factor > 0))
      fail(ErrorCode::kCorruptFile, "{}: rope_freqs.weight holds {}; frequency factors must be positive",
           file.name(), factor);
  }
}

void describe(const gguf::File& file, ModelConfig& config, bool interleaved) {
  const Metadata metadata(file, config.architecture);
  // Within its window sliding attention equals full attention, so the window bounds the usable context.
  config.context =
      std::min(config.context, metadata.optional("attention.sliding_window", config.context, 1 << 27));
  RopeConfig& rope = config.ropes.emplace_back();
  rope.base = metadata.number("rope.freq_base", 10000);
  rope.rotated = metadata.optional("rope.dimension_count", config.head_size, config.head_size);
  rope.interleaved = interleaved;
  if (rope.rotated % 2 != 0) {
    fail(ErrorCode::kCorruptFile, "{}: rope.dimension_count {} is odd; it must be even", file.name(),
         rope.rotated);
  }
  read_rope_scaling(file, metadata, rope);
  read_frequency_factors(file, rope);
  const bool bias = file.find_tensor("blk.0.attn_q.bias") != nullptr;
  for (LayerSpec& layer : config.specs) layer.qkv_bias = bias;
}

void describe_pairs(const gguf::File& file, ModelConfig& config) {
  describe(file, config, true);
}
void describe_halves(const gguf::File& file, ModelConfig& config) {
  describe(file, config, false);
}

std::vector<WeightSpec> model_weights(const ModelConfig& config) {
  std::vector<WeightSpec> weights{
      {Role::kEmbedding, {"token_embd.weight"}, config.vocabulary, config.hidden}};
  if (!config.tied_output)
    weights.push_back({Role::kOutput, {"output.weight"}, config.vocabulary, config.hidden});
  weights.push_back({Role::kFinalNorm, {"output_norm.weight"}, 1, config.hidden});
  return weights;
}

std::vector<WeightSpec> layer_weights(const ModelConfig& config, int64_t layer) {
  const auto name = [layer](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
  const int64_t hidden = config.hidden, q = config.q_size(), kv = config.kv_size(), ffn = config.ffn;
  std::vector<WeightSpec> weights{
      {Role::kAttentionNorm, {name("attn_norm.weight")}, 1, hidden},
      {Role::kQuery, {name("attn_q.weight")}, q, hidden},
      {Role::kKeyValue, {name("attn_k.weight"), name("attn_v.weight")}, kv, hidden},
      {Role::kAttentionOutput, {name("attn_output.weight")}, hidden, q}};
  if (config.spec(layer).qkv_bias) {
    weights.push_back({Role::kQueryBias, {name("attn_q.bias")}, 1, q});
    weights.push_back({Role::kKeyValueBias, {name("attn_k.bias"), name("attn_v.bias")}, 1, kv});
  }
  weights.push_back({Role::kFfnNorm, {name("ffn_norm.weight")}, 1, hidden});
  weights.push_back({Role::kGateUp, {name("ffn_gate.weight"), name("ffn_up.weight")}, ffn, hidden});
  weights.push_back({Role::kDown, {name("ffn_down.weight")}, hidden, ffn});
  return weights;
}

}  // namespace

constexpr const char* kFrequencies = "rope_freqs.weight";

const Architecture kLlama{"llama", describe_pairs, model_weights, layer_weights, kFrequencies};
const Architecture kMistral{"mistral", describe_pairs, model_weights, layer_weights, kFrequencies};
const Architecture kQwen2{"qwen2", describe_halves, model_weights, layer_weights, kFrequencies};

}  // namespace claa
