#include "model/dense.h"

#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/usize.h"
#include "gguf/quants.h"

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
  const gguf::TensorInfo* tensor = file.find_tensor(kRopeFrequencies);
  if (tensor == nullptr) return;
  if (tensor->type != gguf::TensorType::kF32 ||
      tensor->elements() != static_cast<uint64_t>(rope.rotated / 2)) {
    fail(ErrorCode::kCorruptFile, "{}: {} must be {} f32 values", file.name(), kRopeFrequencies,
         rope.rotated / 2);
  }
  rope.frequency_factors.resize(usize(tensor->elements()));
  gguf::dequantize(tensor->type, tensor->data, rope.frequency_factors);
  for (const float factor : rope.frequency_factors) {
    if (!(factor > 0))
      fail(ErrorCode::kCorruptFile, "{}: {} holds {}; frequency factors must be positive", file.name(),
           kRopeFrequencies, factor);
  }
}

}  // namespace

RopeConfig read_rope(const gguf::File& file, const Metadata& metadata, int64_t head_size, bool interleaved) {
  RopeConfig rope;
  rope.base = metadata.number("rope.freq_base", 10000);
  rope.rotated = metadata.optional("rope.dimension_count", head_size, head_size);
  rope.interleaved = interleaved;
  if (rope.rotated % 2 != 0) {
    fail(ErrorCode::kCorruptFile, "{}: rope.dimension_count {} is odd; it must be even", file.name(),
         rope.rotated);
  }
  read_rope_scaling(file, metadata, rope);
  read_frequency_factors(file, rope);
  return rope;
}

void describe_dense(const gguf::File& file, ModelConfig& config, bool interleaved) {
  config.ropes.push_back(read_rope(file, Metadata(file, config.architecture), config.head_size, interleaved));
  const bool bias = file.find_tensor("blk.0.attn_q.bias") != nullptr;
  for (LayerSpec& layer : config.specs) layer.qkv_bias = bias;
}

RopeConfig no_rotation(const RopeConfig& like) {
  RopeConfig rope;
  rope.rotated = like.rotated;
  rope.interleaved = like.interleaved;
  rope.frequency_factors.assign(usize(rope.rotated / 2), std::numeric_limits<float>::infinity());
  return rope;
}

std::vector<WeightSpec> dense_model_weights(const ModelConfig& config) {
  std::vector<WeightSpec> weights{
      {Role::kEmbedding, {"token_embd.weight"}, config.vocabulary, config.hidden}};
  if (!config.tied_output)
    weights.push_back({Role::kOutput, {"output.weight"}, config.vocabulary, config.hidden});
  weights.push_back({Role::kFinalNorm, {"output_norm.weight"}, 1, config.hidden, config.logit_scale});
  return weights;
}

std::vector<WeightSpec> dense_layer_weights(const ModelConfig& config, int64_t layer) {
  const auto name = [layer](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
  const LayerSpec& spec = config.spec(layer);
  const int64_t hidden = config.hidden, q = config.q_size(), kv = config.kv_size(), ffn = config.ffn;
  const float scale = spec.head_norms ? 1 : spec.query_scale;
  std::vector<WeightSpec> weights{
      {Role::kAttentionNorm, {name("attn_norm.weight")}, 1, hidden},
      {Role::kQuery, {name("attn_q.weight")}, q, hidden, scale},
      {Role::kKeyValue, {name("attn_k.weight"), name("attn_v.weight")}, kv, hidden},
      {Role::kAttentionOutput, {name("attn_output.weight")}, hidden, q, config.residual_scale}};
  if (spec.qkv_bias) {
    weights.push_back({Role::kQueryBias, {name("attn_q.bias")}, 1, q, scale});
    weights.push_back({Role::kKeyValueBias, {name("attn_k.bias"), name("attn_v.bias")}, 1, kv});
  }
  if (spec.head_norms) {
    weights.push_back(
        {Role::kQueryNorm, {name("attn_q_norm.weight")}, 1, config.head_size, spec.query_scale});
    weights.push_back({Role::kKeyNorm, {name("attn_k_norm.weight")}, 1, config.head_size});
  }
  if (spec.post_norms)
    weights.push_back({Role::kAttentionPostNorm, {name("post_attention_norm.weight")}, 1, hidden});
  weights.push_back({Role::kFfnNorm, {name("ffn_norm.weight")}, 1, hidden});
  weights.push_back({Role::kGateUp, {name("ffn_gate.weight"), name("ffn_up.weight")}, ffn, hidden});
  weights.push_back({Role::kDown, {name("ffn_down.weight")}, hidden, ffn, config.residual_scale});
  if (spec.post_norms) weights.push_back({Role::kFfnPostNorm, {name("post_ffw_norm.weight")}, 1, hidden});
  return weights;
}

}  // namespace claa
