// read_config() and load_weights() of Qwen3.5: which layers are recurrent, their sizes, and blocks left out.
#include "model/refusals.h"

namespace claa {
namespace {

using test::config_of;
using test::expect_refused;
using test::refusal;
using test::TinyFile;

constexpr uint64_t kKeyHeads = 2, kValueHeads = 4, kHead = 8;

void add_recurrent_layer(TinyFile& file, uint32_t layer, uint64_t hidden) {
  const auto name = [layer](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
  constexpr uint64_t kValues = kValueHeads * kHead, kChannels = 2 * kKeyHeads * kHead + kValues;
  for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output"})
    file.tensors.erase(name(part) + ".weight");
  file.tensors[name("attn_qkv.weight")] = {hidden, kChannels};
  file.tensors[name("attn_gate.weight")] = {hidden, kValues};
  file.tensors[name("ssm_alpha.weight")] = file.tensors[name("ssm_beta.weight")] = {hidden, kValueHeads};
  file.tensors[name("ssm_conv1d.weight")] = {4, kChannels};
  file.tensors[name("ssm_a")] = file.tensors[name("ssm_dt.bias")] = {kValueHeads};
  file.tensors[name("ssm_norm.weight")] = {kHead};
  file.tensors[name("ssm_out.weight")] = {kValues, hidden};
}

// Six layers, every third of which attends.
TinyFile qwen35_file() {
  test::TinyShape shape;
  shape.architecture = "qwen35";
  TinyFile file = test::tiny_file(shape);
  file.metadata["qwen35.full_attention_interval"] = uint32_t{3};
  const std::map<std::string, uint32_t> sizes = {{"conv_kernel", 4},
                                                 {"state_size", kHead},
                                                 {"group_count", kKeyHeads},
                                                 {"time_step_rank", kValueHeads},
                                                 {"inner_size", kValueHeads * kHead}};
  for (const auto& [name, value] : sizes) file.metadata["qwen35.ssm." + name] = value;
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const auto name = [layer](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
    file.tensors.erase(name("ffn_norm.weight"));
    file.tensors[name("post_attention_norm.weight")] = {shape.hidden};
    if ((layer + 1) % 3 != 0) {
      add_recurrent_layer(file, layer, shape.hidden);
      continue;
    }
    file.tensors[name("attn_q.weight")] = {shape.hidden, 2 * shape.hidden};
    file.tensors[name("attn_q_norm.weight")] =
        file.tensors[name("attn_k_norm.weight")] = {shape.hidden / shape.heads};
  }
  return file;
}

std::vector<bool> recurrent_of(const ModelConfig& config) {
  std::vector<bool> layers;
  for (const LayerSpec& layer : config.specs) layers.push_back(layer.recurrent);
  return layers;
}

TEST(Qwen35Config, EveryNthLayerAttends) {
  TinyFile file = qwen35_file();
  const ModelConfig config = config_of(file);
  EXPECT_EQ(recurrent_of(config), (std::vector<bool>{true, true, false, true, true, false}));
  EXPECT_EQ(config.recurrent_layers(), 4);
  EXPECT_EQ(config.delta.width, 4);
  EXPECT_EQ(config.delta.heads.channels(), 64);
  EXPECT_TRUE(config.spec(2).output_gate);
  EXPECT_FALSE(config.spec(1).output_gate);
  EXPECT_EQ(refusal(file).message, "nothing was thrown");
  file.metadata.erase("qwen35.full_attention_interval");  // every fourth, which the tensors are not
  expect_refused(file, ErrorCode::kUnsupported, "tensor 'blk.2.attn_k.weight' has no place");
}

TEST(Qwen35Config, AListNamesRecurrentLayers) {
  TinyFile file = qwen35_file();
  const std::string key = "qwen35.attention.recurrent_layers";
  file.metadata.erase("qwen35.full_attention_interval");
  file.metadata[key] = std::vector<bool>{true, true, false, true, true, false};
  EXPECT_EQ(refusal(file).message, "nothing was thrown");
  file.metadata[key] = std::vector<int32_t>{1, 1, 0, 1, 1, 0};
  EXPECT_EQ(refusal(file).message, "nothing was thrown");
  file.metadata[key] = std::vector<bool>{true, true, false, true, true};
  expect_refused(file, ErrorCode::kCorruptFile, "has 5 values for 6 layers");
}

TEST(Qwen35Config, BlocksThatPredictAreLeftOut) {
  TinyFile file = qwen35_file();
  file.metadata["qwen35.block_count"] = uint32_t{7};
  file.metadata["qwen35.nextn_predict_layers"] = uint32_t{1};
  file.tensors["blk.6.nextn.eh_proj.weight"] = {128, 64};
  file.tensors["blk.6.attn_q.weight"] = {64, 128};
  EXPECT_EQ(config_of(file).layers, 6);
  EXPECT_EQ(refusal(file).message, "nothing was thrown");
  // The list may name it, too.
  file.metadata["qwen35.attention.recurrent_layers"] =
      std::vector<bool>{true, true, false, true, true, false, false};
  EXPECT_EQ(recurrent_of(config_of(file)).size(), 6u);
  file.tensors["blk.7.attn_q.weight"] = {64, 128};
  expect_refused(file, ErrorCode::kUnsupported, "tensor 'blk.7.attn_q.weight' has no place");
  for (const uint32_t blocks : {7u, 8u, 0xffffffffu}) {
    file.metadata["qwen35.nextn_predict_layers"] = blocks;
    expect_refused(file, ErrorCode::kCorruptFile,
                   fmt::format("nextn_predict_layers' is {}; the file has 7", blocks));
  }
}

TEST(Qwen35Config, RefusesSizesThatDisagree) {
  const auto with = [](const char* key, uint32_t value) {
    TinyFile file = qwen35_file();
    file.metadata[std::string("qwen35.ssm.") + key] = value;
    return file;
  };
  expect_refused(with("group_count", 3), ErrorCode::kUnsupported, "3 key heads, 4 value heads");
  expect_refused(with("inner_size", 64), ErrorCode::kUnsupported, "values of 64 in all");
  expect_refused(with("conv_kernel", 1), ErrorCode::kUnsupported, "conv_kernel is 1");
  expect_refused(with("conv_kernel", 3), ErrorCode::kCorruptFile,
                 "'blk.0.ssm_conv1d.weight' has shape [4, 64]");
  expect_refused(with("conv_kernel", 0), ErrorCode::kCorruptFile, "ssm.conv_kernel' is 0");
  expect_refused(with("state_size", 100000), ErrorCode::kCorruptFile, "ssm.state_size' is 100000");
  for (const char* key : {"conv_kernel", "state_size", "group_count", "time_step_rank", "inner_size"}) {
    TinyFile file = qwen35_file();
    file.metadata.erase(std::string("qwen35.ssm.") + key);
    expect_refused(file, ErrorCode::kCorruptFile, fmt::format("'qwen35.ssm.{}' is missing", key));
  }
}

// Such files may say no width but that of experts, and have a vector where a matrix has one row.
TEST(Qwen35Config, AnExpertServesEveryRow) {
  TinyFile file = qwen35_file();
  TinyFile moe;
  for (const auto& [key, value] : file.metadata)
    moe.metadata[key.starts_with("qwen35.") ? "qwen35moe" + key.substr(6) : key] = value;
  moe.metadata["general.architecture"] = std::string("qwen35moe");
  moe.metadata.erase("qwen35moe.feed_forward_length");
  moe.metadata["qwen35moe.expert_count"] = uint32_t{3};
  moe.metadata["qwen35moe.expert_used_count"] = uint32_t{2};
  moe.metadata["qwen35moe.expert_feed_forward_length"] = uint32_t{16};
  moe.metadata["qwen35moe.expert_shared_feed_forward_length"] = uint32_t{24};
  moe.tensors = file.tensors;
  for (uint32_t layer = 0; layer < 6; ++layer) {
    const auto name = [layer](const char* part) { return fmt::format("blk.{}.ffn_{}.weight", layer, part); };
    for (const char* part : {"gate", "up", "down"}) moe.tensors.erase(name(part));
    moe.tensors[name("gate_inp")] = {64, 3};
    moe.tensors[name("gate_exps")] = moe.tensors[name("up_exps")] = {64, 16, 3};
    moe.tensors[name("down_exps")] = {16, 64, 3};
    moe.tensors[name("gate_shexp")] = moe.tensors[name("up_shexp")] = {64, 24};
    moe.tensors[name("down_shexp")] = {24, 64};
    moe.tensors[name("gate_inp_shexp")] = {64};
  }
  EXPECT_EQ(config_of(moe).spec(1).shared_width, 24);
  EXPECT_EQ(config_of(moe).ffn, 16);
  EXPECT_EQ(refusal(moe).message, "nothing was thrown");
  moe.tensors["blk.1.ffn_gate_inp_shexp.weight"] = {64, 1};
  EXPECT_EQ(refusal(moe).message, "nothing was thrown");
  moe.tensors["blk.1.ffn_gate_inp_shexp.weight"] = {65};
  expect_refused(moe, ErrorCode::kCorruptFile, "'blk.1.ffn_gate_inp_shexp.weight' has shape [65]");
  moe.tensors["blk.1.ffn_gate_inp_shexp.weight"] = {64};
  moe.metadata.erase("qwen35moe.expert_shared_feed_forward_length");
  expect_refused(moe, ErrorCode::kCorruptFile,
                 "_shexp.weight' has shape [64, 24], the metadata asks for [64, 16]");
  moe.metadata.erase("qwen35moe.expert_feed_forward_length");
  expect_refused(moe, ErrorCode::kCorruptFile, "'qwen35moe.feed_forward_length' is missing");
}

TEST(Qwen35Config, RefusesMissingAndMisshapenTensors) {
  for (const char* name :
       {"blk.0.attn_qkv.weight", "blk.1.attn_gate.weight", "blk.3.ssm_alpha.weight", "blk.0.ssm_beta.weight",
        "blk.0.ssm_conv1d.weight", "blk.4.ssm_a", "blk.0.ssm_dt.bias", "blk.0.ssm_norm.weight",
        "blk.0.ssm_out.weight", "blk.2.attn_q.weight"}) {
    TinyFile file = qwen35_file();
    std::vector<uint64_t>& shape = file.tensors.at(name);
    shape.back() += 1;
    expect_refused(file, ErrorCode::kCorruptFile, fmt::format("tensor '{}' has shape", name));
    file.tensors.erase(name);
    expect_refused(file, ErrorCode::kCorruptFile, fmt::format("tensor '{}' is missing", name));
  }
}

}  // namespace
}  // namespace claa
