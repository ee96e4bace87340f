// read_config() and load_weights() of what single architectures have.
#include <cmath>
#include <cstring>
#include <utility>

#include "model/refusals.h"

namespace claa {
namespace {

using test::config_of;
using test::expect_refused;
using test::refusal;
using test::tiny_file;
using test::TinyFile;

// The tiny file under the name of another architecture.
TinyFile renamed(const std::string& architecture) {
  TinyFile file = tiny_file();
  const auto metadata = std::exchange(file.metadata, {});
  for (const auto& [key, value] : metadata) {
    const bool own = key.starts_with("llama.");
    file.metadata[own ? architecture + key.substr(std::strlen("llama")) : key] = value;
  }
  file.metadata["general.architecture"] = architecture;
  return file;
}

TEST(ReadConfig, QueriesOfMistral3GrowWithTheirPosition) {
  TinyFile file = renamed("mistral3");
  EXPECT_EQ(config_of(file).ropes.size(), 1u);
  file.metadata["mistral3.attention.temperature_scale"] = 0.1f;
  expect_refused(file, ErrorCode::kCorruptFile, "attention.temperature_scale needs");
  file.metadata["mistral3.rope.scaling.original_context_length"] = uint32_t{64};
  const ModelConfig config = config_of(file);
  EXPECT_EQ(config.spec(5).query_rope, 1);
  EXPECT_EQ(config.ropes[0].temperature_scale, 0);
  EXPECT_FLOAT_EQ(static_cast<float>(config.ropes[1].temperature_scale), 0.1f);
  file.metadata["mistral3.rope.dimension_count"] = uint32_t{8};
  expect_refused(file, ErrorCode::kCorruptFile, "8 of 16 dimensions do");
  file.metadata["mistral3.attention.temperature_scale"] = -0.1f;
  expect_refused(file, ErrorCode::kCorruptFile, "'mistral3.attention.temperature_scale' is -0.1");
}

TEST(ReadConfig, YarnWithALogMultiplier) {
  TinyFile file = renamed("mistral3");
  file.metadata["mistral3.rope.scaling.type"] = std::string("yarn");
  file.metadata["mistral3.rope.scaling.factor"] = 16.0f;
  file.metadata["mistral3.rope.scaling.original_context_length"] = uint32_t{64};
  file.metadata["mistral3.rope.scaling.yarn_log_multiplier"] = 1.0f;
  EXPECT_DOUBLE_EQ(config_of(file).ropes[0].attention_factor, 1);
  file.metadata["mistral3.rope.scaling.yarn_log_multiplier"] = 0.5f;
  const double log = 0.1 * std::log(16.0);
  EXPECT_DOUBLE_EQ(config_of(file).ropes[0].attention_factor, (1 + log) / (1 + 0.5 * log));
}

TEST(ReadConfig, OnlyFullLayersOfOlmo3StretchTheirRope) {
  TinyFile file = renamed("olmo2");
  file.metadata["olmo2.attention.sliding_window"] = uint32_t{32};
  file.metadata["olmo2.rope.scaling.type"] = std::string("yarn");
  file.metadata["olmo2.rope.scaling.factor"] = 8.0f;
  file.metadata["olmo2.rope.scaling.original_context_length"] = uint32_t{64};
  std::erase_if(file.tensors, [](const auto& tensor) {
    return tensor.first.ends_with("attn_norm.weight") || tensor.first.ends_with("ffn_norm.weight");
  });
  const ModelConfig config = config_of(file);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const LayerSpec& spec = config.spec(layer);
    const RopeConfig& rope = config.ropes[static_cast<size_t>(spec.rope)];
    EXPECT_EQ(spec.window, layer == 3 ? 0 : 32) << layer;
    EXPECT_EQ(rope.scaling, layer == 3 ? RopeScaling::kYarn : RopeScaling::kNone) << layer;
  }
}

TEST(ReadConfig, Phi3TurnsByBothOrNeitherOfItsTables) {
  TinyFile file = renamed("phi3");
  EXPECT_EQ(config_of(file).ropes[0].scaling, RopeScaling::kNone);
  file.tensors["rope_factors_long.weight"] = {8};
  expect_refused(file, ErrorCode::kCorruptFile, "only one of the tensors");
  file.tensors["rope_factors_short.weight"] = {8};
  expect_refused(file, ErrorCode::kCorruptFile, "'phi3.rope.scaling.original_context_length' is missing");
  file.metadata["phi3.rope.scaling.original_context_length"] = uint32_t{64};
  EXPECT_EQ(config_of(file).ropes[0].scaling, RopeScaling::kLong);
  file.tensors["rope_factors_short.weight"] = {7};
  expect_refused(file, ErrorCode::kCorruptFile, "rope_factors_short.weight must be 8");
}

TEST(ReadConfig, WindowsOfPhi3AreOfEveryLayerOrOfNone) {
  TinyFile file = renamed("phi3");
  file.metadata["phi3.attention.sliding_window"] = uint32_t{100};
  EXPECT_EQ(config_of(file).spec(3).window, 100);
  file.metadata["phi3.attention.sliding_window"] = uint32_t{1024};  // the context
  EXPECT_EQ(config_of(file).spec(3).window, 0);
}

// The tiny file with three experts in each layer, of which a row has two.
TinyFile with_experts() {
  TinyFile file = renamed("qwen3moe");
  file.metadata["qwen3moe.expert_count"] = uint32_t{3};
  file.metadata["qwen3moe.expert_used_count"] = uint32_t{2};
  file.metadata["qwen3moe.expert_feed_forward_length"] = uint32_t{32};
  for (int64_t layer = 0; layer < 6; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    for (const char* part : {"ffn_gate", "ffn_up", "ffn_down"}) file.tensors.erase(prefix + part + ".weight");
    file.tensors[prefix + "ffn_gate_inp.weight"] = {64, 3};
    file.tensors[prefix + "ffn_gate_exps.weight"] = {64, 32, 3};
    file.tensors[prefix + "ffn_up_exps.weight"] = {64, 32, 3};
    file.tensors[prefix + "ffn_down_exps.weight"] = {32, 64, 3};
    for (const char* norm : {"attn_q_norm", "attn_k_norm"}) file.tensors[prefix + norm + ".weight"] = {16};
  }
  return file;
}

TEST(LoadWeights, Experts) {
  const TinyFile whole = with_experts();
  EXPECT_EQ(refusal(whole).message, "nothing was thrown");
  for (const char* part : {"gate_inp", "gate_exps", "up_exps", "down_exps"}) {
    const std::string name = std::string("blk.3.ffn_") + part + ".weight";
    TinyFile file = whole;
    file.tensors.erase(name);
    expect_refused(file, ErrorCode::kCorruptFile, "'" + name + "' is missing");
    file = whole;
    file.tensors[name].back() = 4;  // experts
    expect_refused(file, ErrorCode::kCorruptFile, "'" + name + "' has shape");
  }
}

TEST(ReadConfig, CountsOfExperts) {
  TinyFile file = with_experts();
  file.metadata["qwen3moe.expert_used_count"] = uint32_t{4};
  expect_refused(file, ErrorCode::kCorruptFile, "qwen3moe.expert_used_count");
  file = with_experts();
  file.metadata.erase("qwen3moe.expert_count");
  expect_refused(file, ErrorCode::kCorruptFile, "'qwen3moe.expert_count' is missing");
  file.metadata["qwen3moe.expert_count"] = uint32_t{1} << 30;
  expect_refused(file, ErrorCode::kCorruptFile, "qwen3moe.expert_count");
}

// Any file may have Q, K and V in one tensor; one of another height is refused.
TEST(LoadWeights, FusedTensors) {
  TinyFile file = tiny_file();
  for (int64_t layer = 0; layer < 6; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    for (const char* part : {"attn_q", "attn_k", "attn_v"}) file.tensors.erase(prefix + part + ".weight");
    file.tensors[prefix + "attn_qkv.weight"] = {64, 128};
  }
  EXPECT_EQ(refusal(file).message, "nothing was thrown");
  file.tensors["blk.2.attn_qkv.weight"] = {64, 130};
  expect_refused(file, ErrorCode::kCorruptFile, "'blk.2.attn_qkv.weight' has shape [64, 130]");
}

}  // namespace
}  // namespace claa
