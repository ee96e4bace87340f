#include "model/dense.h"

#include <algorithm>
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
  rope.attention_factor =
      metadata.number("rope.scaling.yarn_attn_factor", metadata.number("rope.scaling.attn_factor", 0));
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
    // DeepSeek's form of the temperature: a ratio of two.
    if (const double multiplier = metadata.number("rope.scaling.yarn_log_multiplier", 0); multiplier > 0) {
      const double log = 0.1 * std::log(std::max(1.0, rope.factor));
      rope.attention_factor = (log + 1) / (multiplier * log + 1);
    }
  } else if (!type.empty() && type != "none") {
    fail(ErrorCode::kUnsupported,
         "{}: rope scaling '{}' is not supported; this build runs none, linear, yarn and the "
         "frequency factors of Llama 3",
         file.name(), type.substr(0, 60));
  }
}

}  // namespace

std::vector<float> read_frequency_factors(const gguf::File& file, const char* name, int64_t pairs) {
  const gguf::TensorInfo* tensor = file.find_tensor(name);
  if (tensor == nullptr) return {};
  if (tensor->type != gguf::TensorType::kF32 || tensor->elements() != static_cast<uint64_t>(pairs))
    fail(ErrorCode::kCorruptFile, "{}: {} must be {} f32 values", file.name(), name, pairs);
  std::vector<float> factors(usize(tensor->elements()));
  gguf::dequantize(tensor->type, tensor->data, factors);
  for (const float factor : factors) {
    if (!(factor > 0))
      fail(ErrorCode::kCorruptFile, "{}: {} holds {}; frequency factors must be positive", file.name(), name,
           factor);
  }
  return factors;
}

RopeConfig read_rope(const gguf::File& file, const Metadata& metadata, int64_t head_size, bool interleaved) {
  RopeConfig rope;
  rope.base = metadata.number("rope.freq_base", 10000);
  rope.rotated = metadata.optional("rope.dimension_count", head_size, head_size);
  // Folders have the weights of every architecture in halves.
  rope.interleaved = metadata.flag("rope.interleaved", interleaved);
  if (rope.rotated % 2 != 0) {
    fail(ErrorCode::kCorruptFile, "{}: rope.dimension_count {} is odd; it must be even", file.name(),
         rope.rotated);
  }
  read_rope_scaling(file, metadata, rope);
  rope.frequency_factors = read_frequency_factors(file, kRopeFrequencies, rope.rotated / 2);
  return rope;
}

namespace {

void find_fused(const gguf::File& file, ModelConfig& config) {
  for (size_t i = 0; i < config.specs.size(); ++i) {
    const auto has = [&](const char* part) {
      return file.find_tensor(fmt::format("blk.{}.{}.weight", i, part)) != nullptr;
    };
    config.specs[i].fused_qkv = has("attn_qkv");
    const gguf::TensorInfo* up = file.find_tensor(fmt::format("blk.{}.ffn_up.weight", i));
    config.specs[i].fused_gate =
        !has("ffn_gate") && up != nullptr && up->shape.size() == 2 &&
        up->shape[1] == static_cast<uint64_t>(2 * config.ffn_of(static_cast<int64_t>(i)));
  }
}

}  // namespace

void describe_dense(const gguf::File& file, ModelConfig& config, bool interleaved) {
  config.ropes.push_back(read_rope(file, Metadata(file, config.architecture), config.head_size, interleaved));
  find_fused(file, config);
  const bool bias =
      file.find_tensor(config.specs[0].fused_qkv ? "blk.0.attn_qkv.bias" : "blk.0.attn_q.bias") != nullptr;
  for (LayerSpec& layer : config.specs) layer.qkv_bias = bias;
}

void read_experts(const gguf::File& file, ModelConfig& config) {
  constexpr int64_t kMost = 4096;
  const Metadata metadata(file, config.architecture);
  const int64_t experts = metadata.required("expert_count", kMost);
  const int64_t used = metadata.required("expert_used_count", experts);
  const int64_t width =
      metadata.optional("expert_feed_forward_length", std::max<int64_t>(1, config.ffn / used), 1 << 20);
  for (LayerSpec& layer : config.specs) {
    layer.experts = experts;
    layer.experts_used = used;
    layer.expert_width = width;
  }
}

namespace {

std::vector<bool> windowed_layers(const gguf::File& file, const ModelConfig& config, int64_t every) {
  constexpr const char* key = "attention.sliding_window_pattern";
  const std::string name = fmt::format("{}.{}", config.architecture, key);
  std::vector<bool> windows;
  if (const auto array = file.array_of(name); !array) {
    every = Metadata(file, config.architecture).optional(key, every, 1024);
    for (int64_t i = 0; i < config.layers; ++i) windows.push_back((i + 1) % every != 0);
  } else if (array->first == gguf::ValueType::kBool) {
    windows = file.get_bools(name).value();
  } else {
    const std::vector<int64_t> listed = file.get_ints(name).value();
    for (const int64_t value : listed) windows.push_back(value != 0);
  }
  if (windows.size() != usize(config.layers)) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' has {} values for {} layers", file.name(), name,
         windows.size(), config.layers);
  }
  return windows;
}

}  // namespace

bool has_windows(const gguf::File& file, const ModelConfig& config) {
  return file.get_uint(config.architecture + ".attention.sliding_window").value_or(0) != 0;
}

void read_windows(const gguf::File& file, ModelConfig& config, int64_t every, int64_t usual) {
  constexpr const char* key = "attention.sliding_window";
  constexpr int64_t kMost = 1 << 27;
  const Metadata metadata(file, config.architecture);
  const int64_t window = usual > 0 ? metadata.optional(key, usual, kMost) : metadata.required(key, kMost);
  const std::vector<bool> windowed = windowed_layers(file, config, every);
  for (size_t i = 0; i < windowed.size(); ++i) config.specs[i].window = windowed[i] ? window : 0;
}

float read_scale(const gguf::File& file, const ModelConfig& config, const char* key, float none) {
  const double scale = Metadata(file, config.architecture).number(key, 0);
  if (!(scale >= 0) || !std::isfinite(scale)) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key '{}.{}' is {}; it must be positive and finite",
         file.name(), config.architecture, key, scale);
  }
  return scale == 0 ? none : static_cast<float>(scale);
}

RopeConfig plain_rope(const RopeConfig& like, double base) {
  RopeConfig rope;
  rope.base = base;
  rope.rotated = like.rotated;
  rope.interleaved = like.interleaved;
  return rope;
}

RopeConfig no_rotation(const RopeConfig& like) {
  RopeConfig rope = plain_rope(like, like.base);
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

namespace {

std::vector<TensorRows> gate_and_up(int64_t layer, const LayerSpec& spec, int64_t ffn) {
  const std::string up = fmt::format("blk.{}.ffn_up.weight", layer);
  if (spec.fused_gate) return {{up, 0, 2 * ffn}, {up, ffn, 2 * ffn}};
  return {fmt::format("blk.{}.ffn_gate.weight", layer), up};
}

void add_experts(const ModelConfig& config, int64_t layer, std::vector<WeightSpec>& weights) {
  const LayerSpec& spec = config.spec(layer);
  const int64_t hidden = config.hidden, width = spec.expert_width, experts = spec.experts;
  const auto part = [layer](const char* name) { return fmt::format("blk.{}.ffn_{}", layer, name); };
  if (spec.beside_experts) {
    const float over_root = 1 / std::sqrt(static_cast<float>(hidden));
    const auto norm = [layer](const char* name) { return fmt::format("blk.{}.{}.weight", layer, name); };
    weights.push_back({Role::kDensePostNorm, {norm("post_ffw_norm_1")}, 1, hidden});
    weights.push_back({Role::kRouterNorm, {part("gate_inp.scale")}, 1, hidden, over_root});
    weights.push_back({Role::kRouter, {part("gate_inp.weight")}, experts, hidden});
    weights.push_back({Role::kExpertNorm, {norm("pre_ffw_norm_2")}, 1, hidden});
    const std::string both = part("gate_up_exps.weight");
    weights.push_back(
        {Role::kExpertGateUp, {{both, 0, 2 * width}, {both, width, 2 * width}}, width, hidden, 1, experts});
    weights.push_back({Role::kExpertDown, {part("down_exps.weight")}, hidden, width, 1, experts});
    weights.push_back({Role::kExpertPostNorm, {norm("post_ffw_norm_2")}, 1, hidden});
    return;
  }
  weights.push_back({Role::kRouter, {part("gate_inp.weight")}, experts, hidden});
  if (spec.expert_bias) weights.push_back({Role::kRouterBias, {part("gate_inp.bias")}, 1, experts});
  weights.push_back(
      {Role::kExpertGateUp, {part("gate_exps.weight"), part("up_exps.weight")}, width, hidden, 1, experts});
  if (spec.expert_bias) {
    weights.push_back(
        {Role::kExpertGateUpBias, {part("gate_exps.bias"), part("up_exps.bias")}, 1, width, 1, experts});
  }
  weights.push_back(
      {Role::kExpertDown, {part("down_exps.weight")}, hidden, width, config.residual_scale, experts});
  if (spec.expert_bias)
    weights.push_back({Role::kExpertDownBias, {part("down_exps.bias")}, 1, hidden, 1, experts});
  const int64_t shared = spec.shared_width;
  if (shared == 0) return;
  weights.push_back({Role::kSharedGate, {part("gate_inp_shexp.weight")}, 1, hidden});
  weights.push_back(
      {Role::kSharedGateUp, {part("gate_shexp.weight"), part("up_shexp.weight")}, shared, hidden});
  weights.push_back({Role::kSharedDown, {part("down_shexp.weight")}, hidden, shared, config.residual_scale});
}

}  // namespace

std::vector<WeightSpec> dense_layer_weights(const ModelConfig& config, int64_t layer) {
  const auto name = [layer](std::string_view part, std::string_view kind = {}) {
    return fmt::format("blk.{}.{}{}", layer, part, kind);
  };
  const LayerSpec& spec = config.spec(layer);
  const int64_t hidden = config.hidden, ffn = config.ffn_of(layer), head = config.head_size_of(layer);
  const int64_t q = config.q_size(layer), kv = config.kv_size(layer);
  const bool own_kv = config.has_own_kv(layer);
  const float scale = spec.has_qk_norms() ? 1 : spec.query_scale;
  // Q, K and V lie one after another where they are one tensor.
  const auto queries = [&](const char* kind) -> TensorRows {
    if (!spec.fused_qkv) return name("attn_q.", kind);
    return {name("attn_qkv.", kind), 0, q + 2 * kv};
  };
  const auto keys_and_values = [&](const char* kind) -> std::vector<TensorRows> {
    if (spec.value_is_key) return {name("attn_k.", kind), name("attn_k.", kind)};
    if (!spec.fused_qkv) return {name("attn_k.", kind), name("attn_v.", kind)};
    const std::string fused = name("attn_qkv.", kind);
    return {{fused, q, q + 2 * kv}, {fused, q + kv, q + 2 * kv}};
  };
  std::vector<WeightSpec> weights;
  if (spec.pre_norms) weights.push_back({Role::kAttentionNorm, {name("attn_norm.weight")}, 1, hidden});
  weights.push_back({Role::kQuery, {queries("weight")}, q, hidden, scale});
  if (own_kv) weights.push_back({Role::kKeyValue, keys_and_values("weight"), kv, hidden});
  weights.push_back({Role::kAttentionOutput, {name("attn_output.weight")}, hidden, q, config.residual_scale});
  if (spec.qkv_bias) {
    weights.push_back({Role::kQueryBias, {queries("bias")}, 1, q, scale});
    if (own_kv) weights.push_back({Role::kKeyValueBias, keys_and_values("bias"), 1, kv});
  }
  if (spec.has_qk_norms()) {
    const int64_t of_q = spec.wide_norms ? q : head, of_k = spec.wide_norms ? kv : head;
    weights.push_back({Role::kQueryNorm, {name("attn_q_norm.weight")}, 1, of_q, spec.query_scale});
    if (own_kv) weights.push_back({Role::kKeyNorm, {name("attn_k_norm.weight")}, 1, of_k});
  }
  if (spec.value_norm && own_kv) weights.push_back({Role::kValueNorm, {}, 1, head});
  if (spec.sinks) weights.push_back({Role::kSinks, {name("attn_sinks.weight")}, 1, config.heads});
  if (spec.output_bias)
    weights.push_back({Role::kAttentionOutputBias, {name("attn_output.bias")}, 1, hidden});
  if (spec.post_norms)
    weights.push_back({Role::kAttentionPostNorm, {name("post_attention_norm.weight")}, 1, hidden});
  if (spec.pre_norms) weights.push_back({Role::kFfnNorm, {name("ffn_norm.weight")}, 1, hidden});
  if (spec.experts == 0 || spec.beside_experts) {
    weights.push_back({Role::kGateUp, gate_and_up(layer, spec, ffn), ffn, hidden});
    weights.push_back({Role::kDown, {name("ffn_down.weight")}, hidden, ffn, config.residual_scale});
  }
  if (spec.experts > 0) add_experts(config, layer, weights);
  if (spec.post_norms) weights.push_back({Role::kFfnPostNorm, {name("post_ffw_norm.weight")}, 1, hidden});
  if (spec.output_scale) weights.push_back({Role::kLayerScale, {name("layer_output_scale.weight")}, 1, 1});
  return weights;
}

std::vector<WeightSpec> dense_layer_weights_renamed(const ModelConfig& config, int64_t layer) {
  std::vector<WeightSpec> weights = dense_layer_weights(config, layer);
  for (WeightSpec& weight : weights) {
    if (weight.role == Role::kFfnNorm)
      weight.tensors = {fmt::format("blk.{}.post_attention_norm.weight", layer)};
  }
  return weights;
}

}  // namespace claa
