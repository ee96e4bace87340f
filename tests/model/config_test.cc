// read_config() and load_weights() over files that are wrong in one thing.
#include "model/config.h"

#include "model/refusals.h"

namespace claa {
namespace {

using test::config_of;
using test::expect_refused;
using test::tiny_file;
using test::TinyFile;
using testing::HasSubstr;

TEST(ReadConfig, TakesWhatTheFileSays) {
  TinyFile file = tiny_file();
  const ModelConfig config = config_of(file);
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.name, "tiny");
  EXPECT_EQ(config.layers, 6);
  EXPECT_EQ(config.hidden, 64);
  EXPECT_EQ(config.ffn, 96);
  EXPECT_EQ(config.heads, 4);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_size, 16);
  EXPECT_EQ(config.vocabulary, 97);
  EXPECT_EQ(config.context, 1024);
  EXPECT_FLOAT_EQ(config.norm_eps, 1e-5f);
  EXPECT_FALSE(config.tied_output);
  EXPECT_FALSE(config.spec(0).qkv_bias);
  EXPECT_TRUE(config.ropes[0].interleaved);
  EXPECT_EQ(config.ropes[0].rotated, 16);
  EXPECT_EQ(config.ropes[0].base, 10000);
  EXPECT_EQ(config.ropes[0].scaling, RopeScaling::kNone);
  EXPECT_EQ(refusal(file).message, "nothing was thrown");
}

TEST(ReadConfig, OptionalKeys) {
  TinyFile file = tiny_file({.architecture = "qwen2", .bias = true});
  file.metadata.erase("qwen2.attention.head_count_kv");
  file.metadata["qwen2.attention.layer_norm_rms_epsilon"] = 1e-6f;
  file.metadata["qwen2.rope.freq_base"] = 1e6f;
  file.metadata["qwen2.rope.dimension_count"] = uint32_t{8};
  file.metadata["qwen2.attention.sliding_window"] = uint32_t{100};
  file.metadata.erase("general.name");
  file.tensors.erase("output.weight");
  const ModelConfig config = config_of(file);
  EXPECT_EQ(config.kv_heads, 4) << "without the key, every query head has its own";
  EXPECT_FLOAT_EQ(config.norm_eps, 1e-6f);
  EXPECT_EQ(config.ropes[0].base, 1e6);
  EXPECT_EQ(config.ropes[0].rotated, 8);
  EXPECT_FALSE(config.ropes[0].interleaved);
  EXPECT_EQ(config.context, 100);
  EXPECT_TRUE(config.spec(0).qkv_bias);
  EXPECT_TRUE(config.tied_output);
  EXPECT_EQ(config.name, "");
}

TEST(ReadConfig, RefusesMissingKeys) {
  for (const char* key :
       {"block_count", "embedding_length", "feed_forward_length", "attention.head_count", "context_length"}) {
    TinyFile file = tiny_file();
    file.metadata.erase(file.key(key));
    expect_refused(file, ErrorCode::kCorruptFile, key);
  }
}

TEST(ReadConfig, RefusesOtherArchitectures) {
  TinyFile file = tiny_file({.architecture = "mamba"});
  expect_refused(file, ErrorCode::kUnsupported, "'mamba' is not supported; this build runs llama");
  file = tiny_file();
  file.metadata["llama.expert_count"] = uint32_t{8};
  expect_refused(file, ErrorCode::kUnsupported, "experts in a layer");
  TinyFile nameless;
  nameless.metadata["general.name"] = std::string("x");
  expect_refused(nameless, ErrorCode::kCorruptFile, "general.architecture");
}

TEST(ReadConfig, RefusesBadValues) {
  struct Case {
    const char* key;
    gguf::Writer::Value value;
    ErrorCode code;
    const char* message;
  };
  const Case cases[] = {
      {"block_count", uint32_t{0}, ErrorCode::kCorruptFile, "block_count"},
      {"block_count", uint32_t{1025}, ErrorCode::kCorruptFile, "1..1024"},
      {"block_count", std::string("six"), ErrorCode::kCorruptFile, "block_count"},
      {"block_count", int32_t{-1}, ErrorCode::kCorruptFile, "block_count"},
      {"embedding_length", uint32_t{70000}, ErrorCode::kCorruptFile, "embedding_length"},
      {"embedding_length", uint64_t{1} << 63, ErrorCode::kCorruptFile, "embedding_length"},
      {"attention.head_count", uint32_t{0}, ErrorCode::kCorruptFile, "head_count"},
      {"attention.head_count_kv", uint32_t{3}, ErrorCode::kUnsupported, "3 KV heads"},
      {"attention.head_count_kv", uint32_t{0}, ErrorCode::kCorruptFile, "head_count_kv"},
      {"attention.key_length", uint32_t{15}, ErrorCode::kUnsupported, "even"},
      {"attention.value_length", uint32_t{8}, ErrorCode::kUnsupported, "value heads"},
      {"attention.layer_norm_rms_epsilon", -1.0f, ErrorCode::kCorruptFile, "epsilon"},
      {"attention.layer_norm_rms_epsilon", std::nanf(""), ErrorCode::kCorruptFile, "epsilon"},
      {"rope.dimension_count", uint32_t{18}, ErrorCode::kCorruptFile, "dimension_count"},
      {"rope.dimension_count", uint32_t{7}, ErrorCode::kCorruptFile, "odd"},
      {"rope.freq_base", 0.0f, ErrorCode::kCorruptFile, "base"},
      {"rope.freq_base", std::nanf(""), ErrorCode::kCorruptFile, "base"},
      {"rope.freq_base", INFINITY, ErrorCode::kCorruptFile, "base"},
      {"rope.scaling.factor", 0.0f, ErrorCode::kCorruptFile, "factor"},
      {"rope.scaling.factor", INFINITY, ErrorCode::kCorruptFile, "factor"},
      {"rope.scaling.type", std::string("longrope"), ErrorCode::kUnsupported, "'longrope'"},
      {"rope.scaling.type", std::string("yarn"), ErrorCode::kCorruptFile, "original_context_length"},
  };
  for (const Case& wrong : cases) {
    SCOPED_TRACE(wrong.key);
    TinyFile file = tiny_file();
    file.metadata[file.key(wrong.key)] = wrong.value;
    expect_refused(file, wrong.code, wrong.message);
  }
}

// What nothing reads would change the model: biases, also where only a later layer has one, norms and layers
// that this architecture does not know, adapters.
TEST(ReadConfig, RefusesTensorsWithoutAPlace) {
  for (const char* name : {"blk.0.attn_output.bias", "blk.1.ffn_down.bias", "blk.2.attn_q.bias",
                           "output.bias", "blk.0.attn_q_norm.weight", "blk.6.attn_norm.weight",
                           "blk.0.attn_q.weight.lora_a", "rope_factors_long.weight"}) {
    TinyFile file = tiny_file();
    file.tensors[name] = {64};
    expect_refused(file, ErrorCode::kUnsupported, std::string("tensor '") + name + "' has no place");
  }
}

TEST(ReadConfig, RefusesPartsOfModels) {
  TinyFile file = tiny_file();
  file.metadata["split.count"] = uint16_t{1};
  EXPECT_EQ(config_of(file).layers, 6);
  file.metadata["general.type"] = std::string("adapter");
  expect_refused(file, ErrorCode::kUnsupported, "general.type is 'adapter'");
  file = tiny_file();
  file.tensors.clear();
  expect_refused(file, ErrorCode::kUnsupported, "no tensors");
}

TEST(ReadConfig, ListsOfEqualNumbersAreOneNumber) {
  TinyFile file = tiny_file();
  file.metadata["llama.attention.head_count_kv"] = std::vector<int32_t>(6, 2);
  file.metadata["llama.feed_forward_length"] = std::vector<uint32_t>(6, 96);
  EXPECT_EQ(config_of(file).kv_heads, 2);
  EXPECT_EQ(config_of(file).ffn, 96);
  file.metadata["llama.attention.head_count_kv"] = std::vector<int32_t>{2, 2, 4, 2, 2, 2};
  expect_refused(file, ErrorCode::kUnsupported, "is 2 in layer 0 and 4 in layer 2");
  file.metadata["llama.attention.head_count_kv"] = std::vector<int32_t>{};
  expect_refused(file, ErrorCode::kCorruptFile, "empty list");
  file.metadata["llama.attention.head_count_kv"] = std::vector<int32_t>(6, -1);
  expect_refused(file, ErrorCode::kCorruptFile, "head_count_kv");
}

TEST(ReadConfig, ScalingKeys) {
  TinyFile file = tiny_file();
  file.metadata["llama.rope.scaling.type"] = std::string("linear");
  file.metadata["llama.rope.scaling.factor"] = 4.0f;
  EXPECT_EQ(config_of(file).ropes[0].scaling, RopeScaling::kLinear);
  EXPECT_EQ(config_of(file).ropes[0].factor, 4);
  file.metadata["llama.rope.scaling.type"] = std::string("none");
  EXPECT_EQ(config_of(file).ropes[0].scaling, RopeScaling::kNone);
  file.metadata["llama.rope.scaling.type"] = std::string("yarn");
  file.metadata["llama.rope.scaling.original_context_length"] = uint32_t{1024};
  EXPECT_EQ(config_of(file).ropes[0].scaling, RopeScaling::kYarn);
  EXPECT_EQ(config_of(file).ropes[0].original_context, 1024);
  TinyFile old = tiny_file();  // uses the key of files from before 2023-10
  old.metadata["llama.rope.scale_linear"] = 2.0f;
  EXPECT_EQ(config_of(old).ropes[0].scaling, RopeScaling::kLinear);
  EXPECT_EQ(config_of(old).ropes[0].factor, 2);
}

TEST(ReadConfig, FrequencyFactors) {
  TinyFile file = tiny_file();
  file.tensors["rope_freqs.weight"] = {8};
  EXPECT_EQ(config_of(file).ropes[0].frequency_factors.size(), 8u);
  file.tensors["rope_freqs.weight"] = {9};
  expect_refused(file, ErrorCode::kCorruptFile, "rope_freqs.weight must be 8");
}

TEST(LoadWeights, RefusesMissingTensors) {
  const TinyFile whole = tiny_file({.bias = true});
  for (const auto& [name, shape] : whole.tensors) {
    // Without these the file is another valid one: a tied output, no bias.
    if (name == "output.weight" || name == "blk.0.attn_q.bias") continue;
    TinyFile file = whole;
    file.tensors.erase(name);
    expect_refused(file, ErrorCode::kCorruptFile, "'" + name + "' is missing");
  }
}

TEST(LoadWeights, RefusesMisshapenTensors) {
  const TinyFile whole = tiny_file({.bias = true});
  for (const auto& [name, shape] : whole.tensors) {
    for (const size_t axis : {size_t{0}, shape.size() - 1}) {
      // The embedding's rows define the vocabulary, so the output is the tensor that disagrees.
      const bool vocabulary = name == "token_embd.weight" && axis == 1;
      TinyFile file = whole;
      file.tensors[name][axis] += 2;
      expect_refused(file, ErrorCode::kCorruptFile, vocabulary ? "output.weight" : name);
    }
  }
  TinyFile file = whole;
  file.tensors["token_embd.weight"] = {64 * 97};
  expect_refused(file, ErrorCode::kCorruptFile, "token_embd.weight");
}

// One value that is no number spoils every answer: it is found in matrices and norms, on every kind of CPU
// weight.
TEST(LoadWeights, RefusesValuesThatAreNoNumbers) {
  for (const float value : {std::nanf(""), INFINITY, -INFINITY}) {
    for (const char* name : {"output_norm.weight", "blk.3.ffn_norm.weight", "blk.2.attn_v.weight",
                             "blk.5.ffn_down.weight", "token_embd.weight"}) {
      std::vector<std::byte> bytes = tiny_file().build();
      const gguf::File file = gguf::File::parse(bytes, "tiny.gguf");
      const size_t at = static_cast<size_t>(file.find_tensor(name)->data.data() - bytes.data());
      std::memcpy(bytes.data() + at + 5 * sizeof(float), &value, sizeof value);
      for (const bool int8 : {false, true}) {
        BackendOptions options{"cpu", DType::kBF16, 2, ""};
        options.int8 = int8;
        const auto backend = make_backend(options);
        try {
          load_weights(file, read_config(file), *backend);
          FAIL() << name << " was loaded";
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
          EXPECT_THAT(error.what(),
                      testing::AllOf(HasSubstr("tiny.gguf"), HasSubstr(name), HasSubstr("column 5")));
        }
      }
    }
  }
}

TEST(LoadWeights, ReportsProgress) {
  const std::vector<std::byte> bytes = tiny_file().build();
  const gguf::File file = gguf::File::parse(bytes, "tiny.gguf");
  const auto backend = make_backend({"reference", DType::kF32, 1, ""});
  std::vector<int64_t> done;
  const ModelWeights weights =
      load_weights(file, read_config(file), *backend, [&](int64_t layer, int64_t layers) {
        EXPECT_EQ(layers, 6);
        done.push_back(layer);
      });
  EXPECT_EQ(done, (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_GT(weights.bytes(), 4u * 97 * 64);
}

}  // namespace
}  // namespace claa
