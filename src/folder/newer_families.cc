// gpt-oss, Qwen 3.5 and Gemma 4, whose layers are of several kinds and whose tensors lie otherwise than in
// GGUF files.
#include <algorithm>

#include "core/check.h"
#include "folder/family.h"
#include "folder/rope_settings.h"

namespace claa {
namespace {

class FamilyWriter {
 public:
  FamilyWriter(const Family& family, gguf::Writer& writer) : family_(family), writer_(writer) {}
  void add(std::string_view key, const gguf::Writer::Value& value) const {
    writer_.add(fmt::format("{}.{}", family_.architecture, key), value);
  }

 private:
  const Family& family_;
  gguf::Writer& writer_;
};

void require_setting(const Settings& config, const char* key, bool holds, const char* what) {
  if (!holds) config.unsupported(key, fmt::format("this build runs such models {}", what));
}

void add_expert_counts(const Settings& config, const FamilyWriter& writer, uint64_t width, const char* used) {
  writer.add("expert_count", count_experts(config));
  writer.add("expert_used_count", config.required_integer(used));
  writer.add("expert_feed_forward_length", width);
}

// A number of the head count's order that `read_config` would refuse later is refused before it is used.
uint64_t head_number(const Settings& config, const char* key, uint64_t usual, uint64_t most) {
  const uint64_t value = config.integer(key).value_or(usual);
  if (value == 0 || value > most) config.corrupt(key, fmt::format("a number from 1 to {}", most));
  return value;
}

constexpr uint64_t kMostHeads = 1024, kMostHeadSize = 1024;

}  // namespace

void add_gpt_oss(const Settings& config, const Family& family, gguf::Writer& writer) {
  require_setting(config, "swiglu_limit", config.number("swiglu_limit").value_or(7) == 7,
                  "with a limit of 7");
  require_setting(config, "attention_bias", config.flag("attention_bias").value_or(true), "with biases");
  require_setting(config, "rope_scaling", config.has("rope_scaling") || config.has("rope_parameters"),
                  "with yarn");
  add_windows(config, family, writer);
  const FamilyWriter to(family, writer);
  add_expert_counts(config, to, config.required_integer("intermediate_size"), "num_experts_per_tok");
}

void name_gpt_oss(const Settings& /*config*/, ModelSettings& settings) {
  static constexpr PartRule kRules[] = {
      {"self_attn.sinks", PartForm::kSame, "attn_sinks.weight"},
      {"mlp.experts.gate_up_proj", PartForm::kTransposedInTurn, "ffn_gate_exps.weight", "ffn_up_exps.weight"},
      {"mlp.experts.gate_up_proj_blocks", PartForm::kMxfp4InTurn, "ffn_gate_exps.weight",
       "ffn_up_exps.weight"},
      {"mlp.experts.gate_up_proj_bias", PartForm::kEveryOther, "ffn_gate_exps.bias", "ffn_up_exps.bias"},
      {"mlp.experts.down_proj", PartForm::kTransposed, "ffn_down_exps.weight"},
      {"mlp.experts.down_proj_blocks", PartForm::kMxfp4, "ffn_down_exps.weight"},
      {"mlp.experts.down_proj_bias", PartForm::kSame, "ffn_down_exps.bias"}};
  settings.rules = kRules;
  settings.layer_names["mlp.router"] = "ffn_gate_inp";
  settings.layer_names["post_attention_layernorm"] = "post_attention_norm";
}

void add_qwen35(const Settings& config, const Family& family, gguf::Writer& writer) {
  require_setting(config, "attn_output_gate", config.flag("attn_output_gate").value_or(true),
                  "with a gated output of attention");
  require_setting(config, "attention_bias", !config.flag("attention_bias").value_or(false), "without biases");
  const FamilyWriter to(family, writer);
  if (const std::vector<Json>* types = config.list("layer_types")) {
    std::vector<bool> recurrent;
    for (const Json& type : *types) {
      if (type.text != "linear_attention" && type.text != "full_attention")
        config.unsupported("layer_types", "this build runs full_attention and linear_attention");
      recurrent.push_back(type.text == "linear_attention");
    }
    to.add("attention.recurrent_layers", recurrent);
  } else if (const auto interval = config.integer("full_attention_interval")) {
    to.add("full_attention_interval", *interval);
  }
  const uint64_t values = head_number(config, "linear_num_value_heads", 32, kMostHeads);
  to.add("ssm.conv_kernel", config.integer("linear_conv_kernel_dim").value_or(4));
  to.add("ssm.state_size", config.integer("linear_key_head_dim").value_or(128));
  to.add("ssm.group_count", config.integer("linear_num_key_heads").value_or(16));
  to.add("ssm.time_step_rank", values);
  to.add("ssm.inner_size", values * head_number(config, "linear_value_head_dim", 128, kMostHeadSize));
}

void add_qwen35_moe(const Settings& config, const Family& family, gguf::Writer& writer) {
  add_qwen35(config, family, writer);
  const FamilyWriter to(family, writer);
  add_expert_counts(config, to, config.required_integer("moe_intermediate_size"), "num_experts_per_tok");
  to.add("expert_shared_feed_forward_length", config.required_integer("shared_expert_intermediate_size"));
}

void name_qwen35(const Settings& config, ModelSettings& settings) {
  static constexpr PartRule kRules[] = {
      {"linear_attn.in_proj_qkv.weight", PartForm::kRowsBehindKeys, "attn_qkv.weight"},
      {"linear_attn.conv1d.weight", PartForm::kRowsBehindKeys, "ssm_conv1d.weight"},
      {"linear_attn.in_proj_z.weight", PartForm::kHeadRows, "attn_gate.weight"},
      {"linear_attn.in_proj_a.weight", PartForm::kHeads, "ssm_alpha.weight"},
      {"linear_attn.in_proj_b.weight", PartForm::kHeads, "ssm_beta.weight"},
      {"linear_attn.A_log", PartForm::kDecay, "ssm_a"},
      {"linear_attn.dt_bias", PartForm::kHeads, "ssm_dt.bias"},
      {"linear_attn.norm.weight", PartForm::kSame, "ssm_norm.weight"},
      {"linear_attn.out_proj.weight", PartForm::kHeadColumns, "ssm_out.weight"},
      {"mlp.experts.gate_up_proj", PartForm::kHalves, "ffn_gate_exps.weight", "ffn_up_exps.weight"},
      {"mlp.experts.down_proj", PartForm::kSame, "ffn_down_exps.weight"},
      {"mlp.shared_expert_gate.weight", PartForm::kNumbers, "ffn_gate_inp_shexp.weight"}};
  settings.rules = kRules;
  settings.heads = {head_number(config, "linear_num_key_heads", 16, kMostHeads),
                    head_number(config, "linear_num_value_heads", 32, kMostHeads),
                    head_number(config, "linear_value_head_dim", 128, kMostHeadSize)};
  if (settings.heads.value_heads % settings.heads.key_heads != 0)
    config.corrupt("linear_num_value_heads", "a multiple of linear_num_key_heads");
  settings.shifted_norms = true;
  settings.layer_names["post_attention_layernorm"] = "post_attention_norm";
  settings.layer_names.insert({{"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
                               {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
                               {"mlp.shared_expert.down_proj", "ffn_down_shexp"}});
  settings.experts = count_experts(config);
  // Layers that predict further tokens, and what reads images.
  for (const char* part : {"mtp.", "model.visual.", "visual."}) settings.left_out.emplace_back(part);
}

void add_gemma4(const Settings& config, const Family& family, gguf::Writer& writer) {
  require_setting(config, "use_bidirectional_attention",
                  config.text("use_bidirectional_attention").value_or("") != "all", "that look back alone");
  require_setting(config, "attention_bias", !config.flag("attention_bias").value_or(false), "without biases");
  require_setting(config, "per_layer_config", !config.has("per_layer_config"), "without this setting");
  if (!config.has("layer_types")) config.corrupt("layer_types", "a list");
  add_windows(config, family, writer);
  const FamilyWriter to(family, writer);
  to.add("attention.shared_kv_layers", config.integer("num_kv_shared_layers").value_or(0));
  to.add("embedding_length_per_layer_input", config.integer("hidden_size_per_layer_input").value_or(256));
  if (const auto cap = config.number("final_logit_softcapping")) to.add("final_logit_softcapping", *cap);
  if (config.flag("enable_moe_block").value_or(false))
    add_expert_counts(config, to, config.required_integer("moe_intermediate_size"), "top_k_experts");
}

void size_gemma4(const Settings& config, const Family& family, gguf::Writer& writer,
                 ModelSettings& settings) {
  const FamilyWriter to(family, writer);
  const uint64_t windows = head_number(config, "head_dim", 256, kMostHeadSize);
  const uint64_t whole = head_number(config, "global_head_dim", 512, kMostHeadSize);
  for (const char* key : {"attention.key_length", "attention.value_length", "rope.dimension_count"}) {
    to.add(key, whole);
    to.add(std::string(key) + "_swa", windows);
  }
  const uint64_t many = config.integer("num_key_value_heads").value_or(4);
  const uint64_t few = config.integer("num_global_key_value_heads").value_or(many);
  const uint64_t width = config.required_integer("intermediate_size");
  const uint64_t shared = config.integer("num_kv_shared_layers").value_or(0);
  const bool wide = config.flag("use_double_wide_mlp").value_or(false);
  if (std::max({many, few, width}) > uint64_t{1} << 30)
    config.corrupt("intermediate_size", "a smaller number");
  std::vector<uint64_t> kv_heads, widths;
  const std::vector<Json>* types = config.list("layer_types");
  const size_t layers = types == nullptr ? 0 : types->size();
  for (size_t i = 0; i < layers; ++i) {
    kv_heads.push_back((*types)[i].text == "full_attention" ? few : many);
    widths.push_back(wide && i + shared >= layers ? 2 * width : width);
  }
  to.add("attention.head_count_kv", kv_heads);
  to.add("feed_forward_length", widths);
  add_rope(config, std::string(family.architecture), whole, writer, settings.vectors);
}

void name_gemma4(const Settings& /*config*/, ModelSettings& settings) {
  static constexpr PartRule kRules[] = {
      {"layer_scalar", PartForm::kNumbers, "layer_output_scale.weight"},
      {"router.scale", PartForm::kNumbers, "ffn_gate_inp.scale"},
      {"router.per_expert_scale", PartForm::kNumbers, "ffn_down_exps.scale"},
      {"experts.gate_up_proj", PartForm::kSame, "ffn_gate_up_exps.weight"},
      {"experts.down_proj", PartForm::kSame, "ffn_down_exps.weight"}};
  settings.rules = kRules;
  settings.shifted_norms = false;
  settings.expert_scales = true;
  settings.model_names = {{"embed_tokens_per_layer.weight", "per_layer_token_embd.weight"},
                          {"per_layer_model_projection.weight", "per_layer_model_proj.weight"},
                          {"per_layer_projection_norm.weight", "per_layer_proj_norm.weight"}};
  settings.layer_names.insert({{"per_layer_input_gate", "inp_gate"},
                               {"per_layer_projection", "proj"},
                               {"post_per_layer_input_norm", "post_norm"},
                               {"pre_feedforward_layernorm_2", "pre_ffw_norm_2"},
                               {"post_feedforward_layernorm_1", "post_ffw_norm_1"},
                               {"post_feedforward_layernorm_2", "post_ffw_norm_2"},
                               {"router.proj", "ffn_gate_inp"}});
  for (const char* part : {"audio_tower.", "embed_vision.", "embed_audio."}) {
    settings.left_out.emplace_back(part);
    settings.left_out.push_back(std::string("model.") + part);
  }
}

}  // namespace claa
