// Folders as a whole: which files are taken, what config.json may say, and weights of eight bits.
#include "folder/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "claa/error.h"
#include "folder/safetensors_file.h"
#include "gguf/quants.h"
#include "model/config.h"
#include "paths.h"

namespace claa {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

// A copy of one of the folders that transformers made, to be changed.
class Folder : public testing::Test {
 protected:
  Folder() { copy("qwen3"); }
  ~Folder() override { fs::remove_all(path_); }

  void copy(const std::string& name) {
    fs::remove_all(path_);
    fs::copy(test_data("architectures/" + name), path_);
  }
  std::string read(const std::string& name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  // Replaces text of a file.
  void change(const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = read(name);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    write(name, text);
  }
  void set(const std::string& key, const std::string& value) const {
    change("config.json", "{", "{\"" + key + "\": " + value + ",");
  }
  void expect_refused(ErrorCode code, const std::vector<std::string>& parts) const {
    try {
      read_config(open_model(path_.string()));
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }

  const fs::path path_ =
      fs::path(testing::TempDir()) /
      ("folder_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
};

TEST_F(Folder, OpensByItsNameOrItsConfig) {
  const gguf::File file = open_model(path_.string());
  EXPECT_EQ(file.name(), path_.string());
  EXPECT_EQ(file.get_string("general.name"), path_.filename().string());
  EXPECT_EQ(open_model(path_.string() + "//").name(), path_.string());
  EXPECT_EQ(open_model((path_ / "config.json").string()).tensors().size(), file.tensors().size());
  EXPECT_EQ(gguf::weights_fingerprint(open_model((path_ / "config.json").string())),
            gguf::weights_fingerprint(file));
}

TEST_F(Folder, MissingFilesAreNamed) {
  fs::remove(path_ / "model.safetensors");
  expect_refused(ErrorCode::kNotFound, {path_.string(), "holds no *.safetensors"});
  copy("qwen3");
  fs::remove(path_ / "tokenizer.json");
  expect_refused(ErrorCode::kNotFound, {path_.string(), "holds no tokenizer.json"});
  copy("qwen3");
  fs::remove(path_ / "config.json");
  expect_refused(ErrorCode::kInvalidArgument, {path_.string(), "a directory without config.json"});
}

TEST_F(Folder, IndexAndFilesAgree) {
  constexpr const char* kIndex = "model.safetensors.index.json";
  copy("llama");
  EXPECT_EQ(read_config(open_model(path_.string())).layers, 4);
  change(kIndex, "\"model.norm.weight\"", "\"model.gone.weight\"");
  expect_refused(ErrorCode::kCorruptFile, {kIndex, "model.gone.weight", "is not there"});
  copy("llama");
  change(kIndex, "\"model.norm.weight\": \"model-00004", "\"model.norm.weight\": \"model-00001");
  expect_refused(ErrorCode::kCorruptFile, {kIndex, "model.norm.weight", "is to be in model-00001"});
  copy("llama");
  change(kIndex, "model-00001", "../model-00001");
  expect_refused(ErrorCode::kCorruptFile, {kIndex, "weight_map"});
  copy("llama");
  fs::remove(path_ / "model-00002-of-00004.safetensors");
  expect_refused(ErrorCode::kNotFound, {"model-00002-of-00004.safetensors"});
  copy("llama");
  fs::copy(path_ / "model-00001-of-00004.safetensors", path_ / "twice.safetensors");
  EXPECT_EQ(read_config(open_model(path_.string())).layers, 4) << "files beside the index are not read";
  fs::remove(path_ / kIndex);
  expect_refused(ErrorCode::kCorruptFile,
                 {"is in model-00001-of-00004.safetensors and in twice.safetensors"});
  copy("llama");
  fs::resize_file(path_ / "model-00003-of-00004.safetensors", 2000);
  expect_refused(ErrorCode::kCorruptFile, {"model-00003-of-00004.safetensors", "truncated"});
}

TEST_F(Folder, SettingsThatWouldBeIgnoredAreRefused) {
  struct Case {
    const char *key, *value, *part;
    ErrorCode code = ErrorCode::kUnsupported;
  };
  const Case cases[] = {
      {"model_type", "\"mamba\"", "model_type is \"mamba\"; this build runs folders of llama, mistral"},
      {"hidden_act", "\"relu\"", "hidden_act is \"relu\"; this build runs silu"},
      {"use_sliding_window", "true", "use_sliding_window is true"},
      {"rope_scaling", "{\"rope_type\":\"dynamic\",\"factor\":2.0}", "rope_scaling.rope_type is \"dynamic\""},
      {"quantization_config", "{\"quant_method\":\"gptq\"}", "quant_method is \"gptq\"; this build runs fp8"},
      {"rope_scaling", "{\"rope_type\":\"linear\"}", "factor is missing", ErrorCode::kCorruptFile},
      {"num_hidden_layers", "-1", "num_hidden_layers is -1", ErrorCode::kCorruptFile},
      {"hidden_size", "\"48\"", "hidden_size is \"48\", but a whole number is needed",
       ErrorCode::kCorruptFile},
      {"head_dim", "0", "head_dim is 0", ErrorCode::kCorruptFile},
      {"partial_rotary_factor", "2", "partial_rotary_factor is 2", ErrorCode::kCorruptFile},
      {"tie_word_embeddings", "false", "lm_head.weight' is missing", ErrorCode::kCorruptFile},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.key);
    copy("qwen3");
    // The reader takes the last of two members of one name.
    const std::string text = read("config.json");
    write("config.json", text.substr(0, text.rfind('}')) + ", \"" + each.key + "\": " + each.value + "}");
    expect_refused(each.code, {path_.string(), each.part});
  }
  copy("gemma3");
  change("config.json", "\"query_pre_attn_scalar\": 32", "\"query_pre_attn_scalar\": 33");
  expect_refused(ErrorCode::kUnsupported, {"query_pre_attn_scalar is 33"});
  copy("smollm3");
  change("config.json", "\"no_rope_layers\": [\n    1", "\"no_rope_layers\": [\n    0");
  expect_refused(ErrorCode::kUnsupported, {"no_rope_layers"});
}

// What newer families would do otherwise than the settings say.
TEST_F(Folder, SettingsOfNewerFamilies) {
  struct Case {
    const char *folder, *key, *value, *part;
    ErrorCode code = ErrorCode::kUnsupported;
  };
  const Case cases[] = {
      {"gpt-oss", "swiglu_limit", "5.0", "swiglu_limit is 5.0"},
      {"gpt-oss", "rope_parameters", R"({"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0})",
       "truncate"},
      {"gpt-oss", "layer_types", R"(["chunked_attention"])", "layer_types"},
      {"gpt-oss", "quantization_config", R"({"quant_method": "gptq"})", "quant_method"},
      {"qwen35", "attn_output_gate", "false", "attn_output_gate is false"},
      {"qwen35", "layer_types", R"(["sliding_attention"])", "full_attention and linear_attention"},
      {"qwen35", "linear_num_value_heads", "5", "a multiple of linear_num_key_heads",
       ErrorCode::kCorruptFile},
      {"qwen35", "linear_num_key_heads", "0", "linear_num_key_heads is 0", ErrorCode::kCorruptFile},
      {"qwen35", "linear_value_head_dim", "1000000000000", "from 1 to 1024", ErrorCode::kCorruptFile},
      {"qwen35", "quantization_config", R"({"quant_method": "mxfp4"})", "quant_method"},
      {"gemma4_small", "use_bidirectional_attention", "\"all\"", "use_bidirectional_attention"},
      {"gemma4_small", "per_layer_config", "{}", "per_layer_config"},
      {"gemma4_small", "layer_types", "null", "layer_types is null", ErrorCode::kCorruptFile},
      {"gemma4_small", "global_head_dim", "0", "global_head_dim is 0", ErrorCode::kCorruptFile},
      {"gemma4_small", "rope_parameters",
       R"({"full_attention": {"rope_type": "proportional", "factor": 2.0}, "sliding_attention": {}})",
       "factor"},
      {"gemma4_small", "rope_parameters",
       R"({"full_attention": {"rope_type": "proportional", "partial_rotary_factor": 1.5}, "sliding_attention": {}})",
       "partial_rotary_factor", ErrorCode::kCorruptFile},
      {"gemma4_small", "rope_parameters",
       R"({"full_attention": {}, "sliding_attention": {"partial_rotary_factor": 0.5}})",
       "partial_rotary_factor"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(std::string(each.folder) + " " + each.key + " " + each.value);
    copy(each.folder);
    const std::string text = read("config.json");
    write("config.json", text.substr(0, text.rfind('}')) + ", \"" + each.key + "\": " + each.value + "}");
    expect_refused(each.code, {path_.string(), each.part});
  }
}

TEST_F(Folder, BlocksNeedTheirScales) {
  copy("gpt-oss-mxfp4");
  change("model.safetensors", "layers.1.mlp.experts.down_proj_scales",
         "layers.1.mlp.experts.down_proj_scalez");
  expect_refused(ErrorCode::kCorruptFile,
                 {"layers.1.mlp.experts.down_proj_blocks", "needs a tensor of scales"});
  copy("gpt-oss-mxfp4");
  change("model.safetensors", "layers.1.mlp.experts.down_proj_blocks",
         "layers.1.mlp.experts.down_proj_blockz");
  expect_refused(ErrorCode::kUnsupported, {"down_proj_", "has type U8"});
}

// A model that reads images has the settings of its text in an object, and tensors that are left out.
TEST_F(Folder, TextPartsOfModelsThatReadImages) {
  for (const auto& [folder, type, layers] :
       {std::tuple("qwen35", "qwen3_5", 8), std::tuple("gemma4_small", "gemma4", 8)}) {
    copy(folder);
    const std::string text = read("config.json");
    write("config.json",
          fmt::format(R"({{"model_type": "{}", "text_config": {}, "vision_config": {{}}}})", type, text));
    EXPECT_EQ(read_config(open_model(path_.string())).layers, layers);
  }
}

TEST_F(Folder, TensorsWithoutAPlaceAreRefused) {
  std::string text = read("model.safetensors");
  const std::string name = "layers.1.self_attn.q_norm";
  const size_t at = text.find(name);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, name.size(), "layers.1.self_attn.x_norm");
  write("model.safetensors", text);
  expect_refused(ErrorCode::kUnsupported, {"model.layers.1.self_attn.x_norm.weight", "has no place"});
}

// A tensor of a header, whose data are appended.
struct Parts {
  std::string header;
  std::vector<std::byte> data;
  void add(const std::string& name, const std::string& dtype, const std::string& shape,
           const std::vector<std::byte>& bytes) {
    header += (header.empty() ? "{" : ",") +
              fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", name, dtype, shape,
                          data.size(), data.size() + bytes.size());
    data.insert(data.end(), bytes.begin(), bytes.end());
  }
  void write(const fs::path& path) const {
    const std::vector<std::byte> bytes = test::safetensors(header + "}", data);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
};

std::vector<std::byte> floats(const std::vector<float>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

// Weights of eight bits beside scales of tiles, of rows and of the whole: 0x38 is 1, 0xB0 is -0.5.
TEST_F(Folder, WeightsOfEightBitsAreScaled) {
  set("quantization_config", R"({"quant_method":"fp8","weight_block_size":[2,3]})");
  std::vector<std::byte> ones(20, std::byte{0x38});
  ones[19] = std::byte{0xB0};
  Parts parts;
  parts.add("model.layers.0.mlp.up_proj.weight", "F8_E4M3", "[5,4]", ones);
  parts.add("model.layers.0.mlp.up_proj.weight_scale_inv", "F32", "[3,2]", floats({1, 2, 3, 4, 5, 6}));
  parts.add("model.layers.0.mlp.down_proj.weight", "F8_E4M3", "[5,4]", ones);
  parts.add("model.layers.0.mlp.down_proj.weight_scale", "BF16", "[5,1]", [] {
    std::vector<std::byte> halves(10);
    for (size_t i = 0; i < 5; ++i) halves[2 * i + 1] = std::byte{0x40};  // 2
    halves[9] = std::byte{0x41};                                         // 8
    return halves;
  }());
  parts.add("model.layers.0.mlp.gate_proj.weight", "F8_E4M3", "[5,4]", ones);
  parts.add("model.layers.0.mlp.gate_proj.weight_scale", "F32", "[]", floats({10}));
  parts.add("model.layers.0.mlp.gate_proj.input_scale", "F32", "[]", floats({3}));
  parts.write(path_ / "model.safetensors");
  const gguf::File file = open_model(path_.string());
  ASSERT_EQ(file.tensors().size(), 3u);
  const auto values = [&](const char* name) {
    const gguf::TensorInfo* tensor = file.find_tensor(std::string("blk.0.") + name + ".weight");
    EXPECT_EQ(tensor->type, gguf::TensorType::kF8E4M3);
    std::vector<float> all(20);
    gguf::dequantize_rows(*tensor, 0, all);
    return all;
  };
  EXPECT_THAT(values("ffn_up"),
              testing::ElementsAre(1, 1, 1, 2, 1, 1, 1, 2, 3, 3, 3, 4, 3, 3, 3, 4, 5, 5, 5, -3));
  EXPECT_THAT(values("ffn_down"),
              testing::ElementsAre(2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 8, 8, 8, -4));
  EXPECT_EQ(values("ffn_gate")[0], 10);
}

TEST_F(Folder, ScalesOfAnotherFormAreRefused) {
  const std::vector<std::byte> ones(20, std::byte{0x38});
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  Parts none;
  none.add(name, "F8_E4M3", "[5,4]", ones);
  none.write(path_ / "model.safetensors");
  expect_refused(ErrorCode::kCorruptFile, {name, "no tensor of scales"});
  Parts few;
  few.add(name, "F8_E4M3", "[5,4]", ones);
  few.add(name + "_scale_inv", "F32", "[2]", floats({1, 2}));
  few.write(path_ / "model.safetensors");
  expect_refused(ErrorCode::kCorruptFile,
                 {name + "_scale_inv", "has 2 values of type F32; 1 for tiles of 128 x 128"});
  Parts ints;
  ints.add("model.layers.0.mlp.up_proj.qweight", "I32", "[5]", ones);
  ints.write(path_ / "model.safetensors");
  expect_refused(ErrorCode::kUnsupported, {"qweight", "has type I32"});
}

TEST_F(Folder, ExpertsAreOneTensor) {
  copy("qwen3moe");
  const gguf::File file = open_model(path_.string());
  const gguf::TensorInfo* gates = file.find_tensor("blk.1.ffn_gate_exps.weight");
  ASSERT_NE(gates, nullptr);
  EXPECT_THAT(gates->shape, testing::ElementsAre(48, 32, 6));
  EXPECT_EQ(gates->slices.size(), 6u);
  change("model.safetensors", "layers.1.mlp.experts.3.gate_proj", "layers.1.mlp.experts.9.gate_proj");
  expect_refused(ErrorCode::kCorruptFile, {"blk.1.ffn_gate_exps.weight", "are not 6 of one shape"});
  copy("qwen3moe");
  change("model.safetensors", "layers.1.mlp.experts.5.gate_proj", "layers.1.mlp.experts.05.gate_pro");
  expect_refused(ErrorCode::kCorruptFile, {"blk.1.ffn_gate_exps.weight", "there are 5"});
  copy("qwen3moe");
  change("config.json", "\"norm_topk_prob\": true", "\"norm_topk_prob\": false");
  expect_refused(ErrorCode::kUnsupported, {"norm_topk_prob is false"});
}

// Tiles of scales go on from one expert to the next.
TEST_F(Folder, ExpertsOfEightBits) {
  copy("qwen3moe");
  change("config.json", "\"num_local_experts\": 6", "\"num_local_experts\": 2");
  change("config.json", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
  set("quantization_config", R"({"quant_method":"fp8","weight_block_size":[2,4]})");
  const std::vector<std::byte> ones(16, std::byte{0x38});
  const std::string name = "model.layers.0.mlp.experts.{}.up_proj.weight";
  const auto write = [&](const char* shape, const char* tiles, size_t rows) {
    Parts parts;
    for (int e = 0; e < 2; ++e) {
      parts.add(fmt::format(fmt::runtime(name), e), "F8_E4M3", shape,
                {ones.begin(), ones.begin() + static_cast<ptrdiff_t>(4 * rows)});
      const auto first = static_cast<float>(2 * e + 1);
      parts.add(fmt::format(fmt::runtime(name), e) + "_scale_inv", "F32", tiles, floats({first, first + 1}));
    }
    parts.write(path_ / "model.safetensors");
  };
  write("[4,4]", "[2,1]", 4);
  const gguf::File file = open_model(path_.string());
  std::vector<float> values(32);
  gguf::dequantize_rows(*file.find_tensor("blk.0.ffn_up_exps.weight"), 0, values);
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], static_cast<float>(i / 8 + 1)) << i;
  write("[3,4]", "[2,1]", 3);
  expect_refused(ErrorCode::kCorruptFile, {"blk.0.ffn_up_exps.weight", "tiles of scales do not end"});
}

// Those who read weights in place need not look at how long the header is.
TEST_F(Folder, TensorsAreAligned) {
  for (size_t blanks = 0; blanks < 4; ++blanks) {
    Parts parts;
    parts.add("model.norm.weight", "F16", "[1]" + std::string(blanks, ' '),
              std::vector<std::byte>(2, std::byte{7}));
    parts.add("model.embed_tokens.weight", "F32", "[1,2]", floats({3, 4}));
    parts.write(path_ / "model.safetensors");
    const gguf::File file = open_model(path_.string());
    for (const gguf::TensorInfo& tensor : file.tensors())
      EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data.data()) % gguf::block_bytes(tensor.type), 0u)
          << tensor.name;
    std::vector<float> values(2);
    gguf::dequantize_rows(*file.find_tensor("token_embd.weight"), 0, values);
    EXPECT_THAT(values, testing::ElementsAre(3, 4));
  }
}

// A model that reads images: its text part is taken, and its settings are inside another object.
TEST_F(Folder, TextPartOfALargerModel) {
  copy("gemma3");
  const std::string config = read("config.json");
  write("config.json", R"({"model_type":"gemma3","text_config":)" + config + "}");
  Parts parts;
  parts.add("vision_tower.x.weight", "I8", "[4]", floats({1}));
  parts.add("language_model.model.embed_tokens.weight", "F32", "[2,1]", floats({1, 2}));
  parts.add("language_model.model.layers.0.self_attn.q_norm.weight", "F32", "[1]", floats({0.25f}));
  parts.write(path_ / "model.safetensors");
  const gguf::File file = open_model(path_.string());
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_NE(file.find_tensor("token_embd.weight"), nullptr);
  float norm = 0;
  gguf::dequantize_rows(*file.find_tensor("blk.0.attn_q_norm.weight"), 0, std::span(&norm, 1));
  EXPECT_EQ(norm, 1.25f);
}

}  // namespace
}  // namespace claa
