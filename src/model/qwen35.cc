// Qwen3.5: three of four layers are recurrent, by the gated delta rule (arXiv 2412.06464); in the others what
// attention gives is gated, heads have norms, and a quarter of each turns. The norm before the feed-forward
// has another name, and blocks that predict further tokens are left out. With experts one more serves every
// row, times a gate.
#include "core/check.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

constexpr int64_t kUsualInterval = 4;  // every n-th layer attends, where files do not say it

void skip_predictors(const gguf::File& file, ModelConfig& config) {
  const std::string key = config.architecture + ".nextn_predict_layers";
  const uint64_t blocks = file.get_uint(key).value_or(0);
  if (blocks >= static_cast<uint64_t>(config.layers)) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' is {}; the file has {} blocks in all", file.name(),
         key, blocks, config.layers);
  }
  config.skipped_blocks = static_cast<int64_t>(blocks);
  config.layers -= config.skipped_blocks;
  config.specs.resize(usize(config.layers));
}

void read_delta(const gguf::File& file, ModelConfig& config) {
  constexpr int64_t kMostWidth = 32, kMostHeads = 1024, kMostSize = 256;
  const Metadata metadata(file, config.architecture);
  DeltaHeads& heads = config.delta.heads;
  config.delta.width = metadata.required("ssm.conv_kernel", kMostWidth);
  heads.size = metadata.required("ssm.state_size", kMostSize);
  heads.key_heads = metadata.required("ssm.group_count", kMostHeads);
  heads.value_heads = metadata.required("ssm.time_step_rank", kMostHeads);
  const int64_t values = metadata.required("ssm.inner_size", kMostHeads * kMostSize);
  if (heads.value_heads % heads.key_heads != 0 || values != heads.values()) {
    fail(ErrorCode::kUnsupported,
         "{}: {} key heads, {} value heads, heads of {} and values of {} in all: the heads must divide, and "
         "be of one size",
         file.name(), heads.key_heads, heads.value_heads, heads.size, values);
  }
  if (config.delta.width < 2) {
    fail(ErrorCode::kUnsupported, "{}: ssm.conv_kernel is {}; it must be at least 2", file.name(),
         config.delta.width);
  }
}

// A list of booleans, which may name the blocks behind the layers too, or every layer but each n-th.
void find_recurrent(const gguf::File& file, ModelConfig& config) {
  const std::string key = config.architecture + ".attention.recurrent_layers";
  const auto listed = file.array_of(key);
  if (!listed) {
    const int64_t every =
        Metadata(file, config.architecture).optional("full_attention_interval", kUsualInterval, 1024);
    for (int64_t i = 0; i < config.layers; ++i) config.specs[usize(i)].recurrent = (i + 1) % every != 0;
    return;
  }
  std::vector<bool> recurrent;
  if (listed->first == gguf::ValueType::kBool) {
    recurrent = file.get_bools(key).value();
  } else {
    const std::vector<int64_t> values = file.get_ints(key).value();
    for (const int64_t value : values) recurrent.push_back(value != 0);
  }
  if (recurrent.size() != config.specs.size() &&
      recurrent.size() != config.specs.size() + usize(config.skipped_blocks)) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' has {} values for {} layers", file.name(), key,
         recurrent.size(), config.layers);
  }
  for (size_t i = 0; i < config.specs.size(); ++i) config.specs[i].recurrent = recurrent[i];
}

void describe_qwen35(const gguf::File& file, ModelConfig& config) {
  skip_predictors(file, config);
  describe_dense(file, config, /*interleaved=*/false);
  read_delta(file, config);
  find_recurrent(file, config);
  for (LayerSpec& layer : config.specs) {
    if (layer.recurrent) layer.fused_qkv = false;  // the tensor of that name is another one
    layer.head_norms = layer.output_gate = !layer.recurrent;
  }
}

void describe_qwen35moe(const gguf::File& file, ModelConfig& config) {
  describe_qwen35(file, config);
  read_experts(file, config);
  const int64_t shared =
      Metadata(file, config.architecture).optional("expert_shared_feed_forward_length", config.ffn, 1 << 20);
  for (LayerSpec& layer : config.specs) layer.shared_width = shared;
}

// The rows of every head of Q, or of its gate, which the file has one after the other.
std::vector<TensorRows> rows_of_heads(const ModelConfig& config, const std::string& tensor, bool gate) {
  std::vector<TensorRows> rows;
  for (int64_t h = 0; h < config.heads; ++h)
    rows.emplace_back(tensor, (2 * h + (gate ? 1 : 0)) * config.head_size, 2 * config.q_size());
  return rows;
}

std::vector<WeightSpec> attention_weights(const ModelConfig& config, int64_t layer) {
  std::vector<WeightSpec> weights;
  for (WeightSpec& weight : dense_layer_weights_renamed(config, layer)) {
    if (!in_attention_half(weight.role)) continue;
    if (weight.role == Role::kQuery) {
      const std::string tensor = weight.tensors.front().name;
      weight.tensors = rows_of_heads(config, tensor, false);
      weight.outputs = config.head_size;
      WeightSpec gate = weight;
      gate.role = Role::kOutputGate;
      gate.tensors = rows_of_heads(config, tensor, true);
      weights.push_back(std::move(gate));
    }
    weights.push_back(std::move(weight));
  }
  return weights;
}

std::vector<WeightSpec> recurrent_weights(const ModelConfig& config, int64_t layer) {
  const auto name = [layer](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
  const DeltaHeads& heads = config.delta.heads;
  const int64_t hidden = config.hidden;
  return {{Role::kAttentionNorm, {name("attn_norm.weight")}, 1, hidden},
          {Role::kDeltaInput, {name("attn_qkv.weight")}, heads.channels(), hidden},
          {Role::kDeltaGate, {name("attn_gate.weight")}, heads.values(), hidden},
          {Role::kDeltaRates, {name("ssm_alpha.weight"), name("ssm_beta.weight")}, heads.value_heads, hidden},
          {Role::kDeltaConvolution, {name("ssm_conv1d.weight")}, heads.channels(), config.delta.width},
          {Role::kDeltaDecay, {name("ssm_a")}, 1, heads.value_heads},
          {Role::kDeltaStep, {name("ssm_dt.bias")}, 1, heads.value_heads},
          {Role::kDeltaNorm, {name("ssm_norm.weight")}, 1, heads.size},
          {Role::kAttentionOutput, {name("ssm_out.weight")}, hidden, heads.values()}};
}

std::vector<WeightSpec> qwen35_layer_weights(const ModelConfig& config, int64_t layer) {
  const bool recurrent = config.spec(layer).recurrent;
  std::vector<WeightSpec> weights =
      recurrent ? recurrent_weights(config, layer) : attention_weights(config, layer);
  for (WeightSpec& weight : dense_layer_weights_renamed(config, layer)) {
    if (!in_attention_half(weight.role)) weights.push_back(std::move(weight));
  }
  return weights;
}

}  // namespace

const Architecture kQwen35{
    "qwen35", describe_qwen35, dense_model_weights, qwen35_layer_weights, {kRopeFrequencies}};
const Architecture kQwen35Moe{
    "qwen35moe", describe_qwen35moe, dense_model_weights, qwen35_layer_weights, {kRopeFrequencies}};

}  // namespace claa
