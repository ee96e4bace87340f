#include "folder/model_settings.h"

#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <iterator>

#include "core/check.h"
#include "folder/family.h"
#include "folder/rope_settings.h"
#include "text/visible.h"

namespace claa {

uint64_t count_experts(const Settings& config) {
  return config.has("num_experts") ? config.required_integer("num_experts")
                                   : config.integer("num_local_experts").value_or(0);
}

void add_windows(const Settings& config, const Family& family, gguf::Writer& writer) {
  if (const auto window = config.integer("sliding_window"))
    writer.add(fmt::format("{}.attention.sliding_window", family.architecture), *window);
  const std::string key = fmt::format("{}.attention.sliding_window_pattern", family.architecture);
  if (const std::vector<Json>* types = config.list("layer_types")) {
    std::vector<bool> windows;
    for (const Json& type : *types) {
      if (type.text != "sliding_attention" && type.text != "full_attention")
        config.unsupported("layer_types", "this build runs full_attention and sliding_attention");
      windows.push_back(type.text == "sliding_attention");
    }
    writer.add(key, windows);
    return;
  }
  const Json* pattern = config.find("sliding_window_pattern");
  if (pattern != nullptr && pattern->is(Json::Kind::kNumber))
    writer.add(key, config.required_integer("sliding_window_pattern"));
}

namespace {

constexpr const char* kRefusedWindow =
    "this build runs such models without windows; convert the model to GGUF";

void add_number(const Settings& config, const Family& family, gguf::Writer& writer, const char* key,
                const char* to, double missing) {
  writer.add(fmt::format("{}.{}", family.architecture, to), config.number(key).value_or(missing));
}

void refuse_windows(const Settings& config, const Family& /*family*/, gguf::Writer& /*writer*/) {
  if (config.flag("use_sliding_window").value_or(false))
    config.unsupported("use_sliding_window", kRefusedWindow);
  const std::vector<Json>* types = config.list("layer_types");
  if (types == nullptr) return;
  for (const Json& type : *types)
    if (type.text != "full_attention") config.unsupported("layer_types", kRefusedWindow);
}

// One window for all layers, which null or a missing key means there is none.
void add_window(const Settings& config, const Family& family, gguf::Writer& writer) {
  if (const auto window = config.integer("sliding_window"))
    writer.add(fmt::format("{}.attention.sliding_window", family.architecture), *window);
}

// Scores are divided by the root of this number, which the architecture takes to be the head size, or in its
// largest model the hidden size by the heads.
void check_gemma_scale(const Settings& config) {
  constexpr const char* key = "query_pre_attn_scalar";
  const double scalar = config.number(key).value_or(256);
  const auto head_size = static_cast<double>(config.integer("head_dim").value_or(256));
  const uint64_t layers = config.required_integer("num_hidden_layers");
  const bool largest = layers == 46 || layers == 62;
  const double by_heads =
      static_cast<double>(config.required_integer("hidden_size")) /
      static_cast<double>(std::max<uint64_t>(1, config.integer("num_attention_heads").value_or(8)));
  if (scalar != (largest ? by_heads : head_size))
    config.unsupported(key, fmt::format("this build runs {} for this model", largest ? by_heads : head_size));
}

void add_gemma2(const Settings& config, const Family& family, gguf::Writer& writer) {
  check_gemma_scale(config);
  add_windows(config, family, writer);
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    const std::optional<double> cap = config.number(key);
    if (!cap || !(*cap > 0)) config.unsupported(key, "this build runs Gemma 2 with soft caps");
    writer.add(fmt::format("{}.{}", family.architecture, key), *cap);
  }
}

void add_gemma3(const Settings& config, const Family& family, gguf::Writer& writer) {
  check_gemma_scale(config);
  add_windows(config, family, writer);
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"})
    if (config.has(key)) config.unsupported(key, "this build runs Gemma 3 without soft caps");
}

void add_smollm3(const Settings& config, const Family& family, gguf::Writer& writer) {
  refuse_windows(config, family, writer);
  const std::vector<Json>* rotating = config.list("no_rope_layers");
  if (rotating == nullptr) return;
  for (size_t i = 0; i < rotating->size(); ++i) {
    if ((*rotating)[i].integer() != ((i + 1) % 4 == 0 ? 0 : 1))
      config.unsupported("no_rope_layers",
                         "this build runs models in which every fourth layer does not turn");
  }
}

void add_mistral3(const Settings& config, const Family& family, gguf::Writer& writer) {
  if (config.has("sliding_window")) config.unsupported("sliding_window", kRefusedWindow);
  const std::optional<Settings> rope = config.object("rope_parameters");
  if (const auto beta = rope ? rope->number("llama_4_scaling_beta") : std::nullopt)
    writer.add(fmt::format("{}.attention.temperature_scale", family.architecture), *beta);
}

void add_experts(const Settings& config, const Family& family, gguf::Writer& writer) {
  refuse_windows(config, family, writer);
  if (!config.flag("norm_topk_prob").value_or(false))
    config.unsupported("norm_topk_prob", "this build runs experts whose weights sum to one");
  if (config.integer("decoder_sparse_step").value_or(1) != 1)
    config.unsupported("decoder_sparse_step", "this build runs experts in every layer");
  if (const std::vector<Json>* dense = config.list("mlp_only_layers"); dense != nullptr && !dense->empty())
    config.unsupported("mlp_only_layers", "this build runs experts in every layer");
  const auto add = [&](const char* key, uint64_t value) {
    writer.add(fmt::format("{}.{}", family.architecture, key), value);
  };
  add("expert_count", count_experts(config));
  add("expert_used_count", config.required_integer("num_experts_per_tok"));
  add("expert_feed_forward_length", config.required_integer("moe_intermediate_size"));
}

void add_granite(const Settings& config, const Family& family, gguf::Writer& writer) {
  add_number(config, family, writer, "embedding_multiplier", "embedding_scale", 1);
  add_number(config, family, writer, "residual_multiplier", "residual_scale", 1);
  add_number(config, family, writer, "attention_multiplier", "attention.scale", 1);
  add_number(config, family, writer, "logits_scaling", "logit_scale", 1);
}

constexpr std::array kFamilies{
    Family{"llama", "llama", false, false, refuse_windows},
    Family{"mistral", "mistral", false, false, add_window},
    Family{"ministral3", "mistral3", false, false, add_mistral3},
    Family{"qwen2", "qwen2", false, false, refuse_windows},
    Family{"qwen3", "qwen3", false, false, refuse_windows},
    Family{"qwen3_moe", "qwen3moe", false, false, add_experts},
    Family{"gemma2", "gemma2", true, true, add_gemma2},
    Family{"gemma3_text", "gemma3", true, true, add_gemma3},
    Family{"smollm3", "smollm3", false, false, add_smollm3},
    Family{"granite", "granite", false, false, add_granite},
    Family{"seed_oss", "seed_oss", false, true, refuse_windows},
    Family{"olmo2", "olmo2", false, true, refuse_windows},
    Family{"olmo3", "olmo2", false, true, add_windows},
    Family{"exaone4", "exaone4", false, true, add_windows},
    Family{"phi3", "phi3", false, false, add_window},
    Family{"gpt_oss", "gpt-oss", false, false, add_gpt_oss, name_gpt_oss},
    Family{"qwen3_5_text", "qwen35", false, false, add_qwen35, name_qwen35, nullptr, 0.25},
    Family{"qwen3_5_moe_text", "qwen35moe", false, false, add_qwen35_moe, name_qwen35, nullptr, 0.25},
    Family{"gemma4_text", "gemma4", true, true, add_gemma4, name_gemma4, size_gemma4},
};

const Family& find_family(const Settings& config) {
  const std::string type = config.text("model_type").value_or("");
  std::vector<std::string_view> names;
  for (const Family& family : kFamilies) {
    if (family.model_type == type) return family;
    names.push_back(family.model_type);
  }
  config.unsupported("model_type",
                     fmt::format("this build runs folders of {}; for others convert the model to GGUF",
                                 fmt::join(names, ", ")));
}

void check_activation(const Settings& config, const Family& family) {
  const char* key = config.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  const std::string usual = family.gemma ? "gelu_pytorch_tanh" : "silu";
  const std::string name = config.text(key).value_or(usual);
  if (name == usual || (usual == "silu" && name == "swish")) return;
  config.unsupported(key, fmt::format("this build runs {} for this model", usual));
}

// How weights of eight bits are scaled. Others are refused.
void read_quantization(const Settings& config, ModelSettings& settings) {
  const std::optional<Settings> how = config.object("quantization_config");
  if (!how) return;
  const std::string method = how->text("quant_method").value_or("");
  if (method == "mxfp4" && settings.architecture == "gpt-oss") return;
  if (method != "fp8" && method != "compressed-tensors" && method != "fbgemm_fp8")
    how->unsupported("quant_method",
                     "this build runs fp8 and weights of 16 or 32 bits; convert the model to GGUF");
  const std::vector<Json>* block = how->list("weight_block_size");
  if (block == nullptr) return;
  const auto size = [&](size_t i) {
    const std::optional<int64_t> value = i < block->size() ? (*block)[i].integer() : std::nullopt;
    if (!value || *value < 1 || block->size() != 2) how->corrupt("weight_block_size", "a list of two sizes");
    return static_cast<uint64_t>(*value);
  };
  settings.scale_rows = size(0);
  settings.scale_columns = size(1);
}

void add_sizes(const Settings& config, const Family& family, gguf::Writer& writer, ModelSettings& settings) {
  const auto add = [&](const char* key, uint64_t value) {
    writer.add(fmt::format("{}.{}", family.architecture, key), value);
    return value;
  };
  // Settings of Gemma that its larger models leave out.
  const auto integer = [&](const char* key, uint64_t of_gemma) {
    return family.gemma ? config.integer(key).value_or(of_gemma) : config.required_integer(key);
  };
  settings.layers = add("block_count", config.required_integer("num_hidden_layers"));
  const uint64_t hidden = add("embedding_length", config.required_integer("hidden_size"));
  const uint64_t heads = add("attention.head_count", integer("num_attention_heads", 8));
  add("context_length", integer("max_position_embeddings", 131072));
  if (heads == 0 || heads > hidden)
    config.corrupt("num_attention_heads", "a number up to that of hidden_size");
  writer.add(fmt::format("{}.attention.layer_norm_rms_epsilon", family.architecture),
             config.number("rms_norm_eps").value_or(1e-6));
  // Weights of folders turn in halves, whatever those of GGUF files do.
  writer.add(fmt::format("{}.rope.interleaved", family.architecture), false);
  if (family.sizes != nullptr) return family.sizes(config, family, writer, settings);
  if (config.has("intermediate_size") || count_experts(config) == 0)
    add("feed_forward_length", config.required_integer("intermediate_size"));
  add("attention.head_count_kv", config.integer("num_key_value_heads").value_or(family.gemma ? 4 : heads));
  const uint64_t head_size = config.integer("head_dim").value_or(family.gemma ? 256 : hidden / heads);
  if (head_size == 0 || head_size > 1024) config.corrupt("head_dim", "a number from 1 to 1024");
  add("attention.key_length", head_size);
  add("attention.value_length", head_size);
  const std::optional<Settings> rope = config.object("rope_parameters");
  double part = config.number("partial_rotary_factor").value_or(family.rotated);
  if (rope) part = rope->number("partial_rotary_factor").value_or(part);
  if (!(part > 0 && part <= 1)) config.corrupt("partial_rotary_factor", "a number up to 1");
  const auto rotated = static_cast<uint64_t>(std::floor(part * static_cast<double>(head_size)));
  add("rope.dimension_count", rotated);
  add_rope(config, std::string(family.architecture), rotated, writer, settings.vectors);
}

void name_layer_parts(const Family& family, ModelSettings& settings) {
  settings.layer_names = {
      {"input_layernorm", "attn_norm"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.qkv_proj", "attn_qkv"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"},
      {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.gate_proj", "ffn_gate"},
      {"mlp.up_proj", "ffn_up"},
      {"mlp.gate_up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"},
      {"pre_feedforward_layernorm", "ffn_norm"},
      {"post_feedforward_layernorm", "post_ffw_norm"},
      {"post_attention_layernorm", family.after_norms ? "post_attention_norm" : "ffn_norm"},
      {"mlp.gate", "ffn_gate_inp"}};
  settings.expert_names = {
      {"gate_proj", "ffn_gate_exps"}, {"up_proj", "ffn_up_exps"}, {"down_proj", "ffn_down_exps"}};
}

}  // namespace

ModelSettings describe_model(const Settings& root, gguf::Writer& writer) {
  ModelSettings settings;
  // A model that reads images too has the settings of its text part in an object of its own.
  const std::optional<Settings> text = root.object("text_config");
  if (text)
    settings.left_out = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                         "model.multi_modal_projector."};
  const Settings& config = text ? *text : root;
  const Family& family = find_family(config);
  settings.architecture = std::string(family.architecture);
  writer.add("general.architecture", settings.architecture);
  check_activation(config, family);
  add_sizes(config, family, writer, settings);
  if (family.add != nullptr) family.add(config, family, writer);
  read_quantization(text && config.has("quantization_config") ? config : root, settings);
  settings.shifted_norms = family.gemma;
  settings.tied = config.flag("tie_word_embeddings");
  if (!settings.tied) settings.tied = root.flag("tie_word_embeddings");
  name_layer_parts(family, settings);
  if (family.add == add_experts) settings.experts = count_experts(config);
  if (family.name != nullptr) family.name(config, settings);
  return settings;
}

}  // namespace claa
