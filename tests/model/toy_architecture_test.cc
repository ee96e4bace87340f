// An architecture that the library does not know, in one file: its specs, its table of tensors, and its exact
// logits, which tools/make_toy_model.py has from another implementation. It has what the Llama family lacks:
// norms after each branch and of every head, another gate, sliding windows, and two kinds of RoPE.
#include <gtest/gtest.h>

#include "claa/registry.h"
#include "core/usize.h"
#include "golden_model.h"
#include "model/metadata.h"
#include "model/shapes.h"
#include "prefill/memory_plan.h"

namespace claa {
namespace {

void describe_toy(const gguf::File& file, ModelConfig& config) {
  const Metadata metadata(file, config.architecture);
  for (const char* base : {"rope.freq_base", "rope.freq_base_sliding"}) {
    RopeConfig& rope = config.ropes.emplace_back();
    rope.base = metadata.number(base, 10000);
    rope.rotated = config.head_size;
    rope.interleaved = false;
  }
  for (int64_t i = 0; i < config.layers; ++i) {
    LayerSpec& layer = config.specs[usize(i)];
    const bool sliding = file.get_uint(fmt::format("toy.attention.sliding.{}", i)).value_or(0) != 0;
    layer.window = sliding ? metadata.required("attention.sliding_window", 1 << 20) : 0;
    layer.rope = sliding ? 1 : 0;
    layer.head_norms = layer.post_norms = true;
    layer.activation = Activation::kGelu;
  }
}

std::vector<WeightSpec> toy_model_weights(const ModelConfig& config) {
  return {{Role::kEmbedding, {"token_embd.weight"}, config.vocabulary, config.hidden},
          {Role::kOutput, {"output.weight"}, config.vocabulary, config.hidden},
          {Role::kFinalNorm, {"output_norm.weight"}, 1, config.hidden}};
}

std::vector<WeightSpec> toy_layer_weights(const ModelConfig& config, int64_t layer) {
  const auto name = [layer](const char* part) { return fmt::format("blk.{}.{}.weight", layer, part); };
  const int64_t hidden = config.hidden, q = config.q_size(), kv = config.kv_size(), ffn = config.ffn;
  return {{Role::kAttentionNorm, {name("attn_norm")}, 1, hidden},
          {Role::kQuery, {name("attn_q")}, q, hidden},
          {Role::kKeyValue, {name("attn_k"), name("attn_v")}, kv, hidden},
          {Role::kAttentionOutput, {name("attn_output")}, hidden, q},
          {Role::kQueryNorm, {name("attn_q_norm")}, 1, config.head_size},
          {Role::kKeyNorm, {name("attn_k_norm")}, 1, config.head_size},
          {Role::kAttentionPostNorm, {name("post_attention_norm")}, 1, hidden},
          {Role::kFfnNorm, {name("ffn_norm")}, 1, hidden},
          {Role::kGateUp, {name("ffn_gate"), name("ffn_up")}, ffn, hidden},
          {Role::kDown, {name("ffn_down")}, hidden, ffn},
          {Role::kFfnPostNorm, {name("post_ffw_norm")}, 1, hidden}};
}

const Architecture kToy{"toy", describe_toy, toy_model_weights, toy_layer_weights};
const Architecture* const kKnown[] = {&kToy};

class Toy : public testing::TestWithParam<BackendOptions> {
 protected:
  PrefillResult run(const Method& method) const { return toy.run(method); }

  const test::GoldenModel toy{"toy/toy", kKnown, GetParam()};
  const ModelConfig& config = toy.config;
};

TEST_P(Toy, WholePrompt) {
  toy.expect_prompt();
}
TEST_P(Toy, Answer) {
  toy.expect_answer();
}
TEST_P(Toy, WindowsHoldWhereFewTokensEnter) {
  toy.expect_few_entering();
}
TEST_P(Toy, WindowsHoldAfterADrop) {
  toy.expect_drop();
}

// Layers with a window have no say and keep all; tokens are chosen after a layer that sees the whole prompt.
TEST_P(Toy, RanksByLayersThatSeeAll) {
  const auto by_layer = [this](const char* method, const char* layer) {
    return run(*builtin_methods().create(method, {{"selection_layer", layer}, {"keep_tokens", "30"}}));
  };
  EXPECT_EQ(by_layer("claa", "1").kept_tokens, 30);
  EXPECT_EQ(by_layer("claa", "-1").report.selection_layer, 1) << "half depth of five layers";
  try {
    by_layer("claa", "2");
    FAIL() << "tokens were chosen after a layer with a sliding window";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_STREQ(error.what(),
                 "layer 2 has a sliding window and cannot rank the whole prompt; tokens can be chosen after "
                 "layers 1");
  }
  const PrefillResult result =
      run(*builtin_methods().create("snapkv", {{"keep_tokens", "30"}, {"window", "4"}}));
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const bool windowed = config.spec(layer).window > 0;
    EXPECT_EQ(result.cache->length(layer), windowed ? 61 : 30) << "layer " << layer;
  }
}

// Heads, early drops and previews by name are refused too.
TEST_P(Toy, RefusesHeadsOfLayersWithAWindow) {
  const ParamValues heads = {{"heads", "0.1*1,1.0*1"}, {"selection_layer", "1"}, {"keep_tokens", "30"}};
  EXPECT_THROW(run(*builtin_methods().create("claa", heads)), Error);
  const ParamValues preview = {{"selection_layer", "3"}, {"keep_tokens", "30"}};
  EXPECT_THROW(run(*builtin_methods().create("gemfilter", preview)), Error);
}

// So is a run of the caller's own that says so, and one that asks such a layer for scores.
TEST_P(Toy, RefusesOwnRunsThatNeedALayerWithAWindow) {
  test::Script drops;
  drops.first_drop = 3;
  EXPECT_THROW(run(test::TestMethod(drops)), Error);
  const auto asks = [](LayerView& view) {
    ScoreSpec spec;
    spec.window = 4;
    view.scores(spec);
  };
  try {
    run(test::TestMethod(test::preview_script(0, asks)));
    FAIL() << "a layer with a sliding window was ranked";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("sliding window of 16 positions"), std::string::npos);
  }
}

// The oracle and SpecPrefill look on from layers that see all.
TEST_P(Toy, LooksAheadFromLayersThatSeeAll) {
  for (const char* method : {"oracle", "specprefill", "gemfilter"})
    EXPECT_EQ(run(*builtin_methods().create(method, {{"keep_tokens", "30"}})).kept_tokens, 30) << method;
}

// The same table gives random weights, and the plan of their memory.
TEST_P(Toy, TableServesRandomWeightsAndThePlan) {
  const ModelWeights random = random_weights(config, *toy.backend);
  EXPECT_EQ(random.bytes(), toy.model.weights().bytes());
  EXPECT_EQ(random.bytes(), weight_bytes(config, GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Devices, Toy, testing::ValuesIn(test::golden_devices()),
                         [](const auto& info) { return test::options_name(info.param); });

TEST(ToyArchitecture, IsUnknownToTheLibrary) {
  const std::string text = test::read_test_data("toy/toy.gguf");
  const gguf::File file = gguf::File::parse(std::as_bytes(std::span(text.data(), text.size())), "toy.gguf");
  EXPECT_THROW(read_config(file), Error);
}

}  // namespace
}  // namespace claa
