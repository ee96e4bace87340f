// An architecture that the library does not know, in one file: its specs, its table of tensors, and its exact
// logits, which tools/make_toy_model.py has from another implementation. It has what the Llama family lacks:
// norms after each branch and of every head, another gate, sliding windows, and two kinds of RoPE.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <sstream>

#include "claa/registry.h"
#include "core/usize.h"
#include "model/metadata.h"
#include "model/shapes.h"
#include "paths.h"
#include "prefill/decoder.h"
#include "prefill/memory_plan.h"
#include "prefill/prefill_support.h"
#include "prefill/test_methods.h"

namespace claa {
namespace {

namespace json = boost::json;

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

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

std::vector<BackendOptions> devices() {
#ifdef CLAA_TEST_CUDA
  return {{"cuda", DType::kF32, 0, ""}};
#else
  return {{"reference", DType::kF32, 1, ""}, {"cpu", DType::kF32, 2, ""}, {"cpu", DType::kF32, 1, "avx2"}};
#endif
}

class Toy : public testing::TestWithParam<BackendOptions> {
 protected:
  std::vector<int32_t> ints(const char* name) const {
    return json::value_to<std::vector<int32_t>>(golden.at(name));
  }
  void expect_logits(const char* name, const std::vector<float>& got) const {
    const auto want = json::value_to<std::vector<double>>(golden.at(name));
    ASSERT_EQ(want.size(), got.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(want[i], got[i], 1e-3) << name << ", token " << i;
  }
  PrefillResult run(const Method& method) const { return run_prefill(model, ints("ids"), method, {}); }

  const std::string text = read(test_data("toy/toy.gguf"));
  const gguf::File file = gguf::File::parse(std::as_bytes(std::span(text.data(), text.size())), "toy.gguf");
  const ModelConfig config = read_config(file, kKnown);
  const std::unique_ptr<Backend> backend = make_backend(GetParam());
  const Model model{config, load_weights(file, config, *backend), *backend};
  const json::object golden = json::parse(read(test_data("toy/toy.json"))).as_object();
};

TEST_P(Toy, WholePrompt) {
  expect_logits("logits", run(*builtin_methods().create("full", {})).logits);
}

// Twenty tokens, more than the window holds: its first slot moves from the prompt into the answer.
TEST_P(Toy, Answer) {
  PrefillResult result = run(*builtin_methods().create("full", {}));
  Decoder decoder(model, *result.cache);
  std::vector<float> logits;
  for (const int32_t token : ints("answer")) logits = decoder.step(token);
  expect_logits("answer_logits", logits);
}

// Windows are by position: of the tokens that entered, each sees those of the last 16 positions.
TEST_P(Toy, WindowsHoldWhereFewTokensEnter) {
  expect_logits("entry_logits", run(test::entry_method(ints("survivors"))).logits);
}

TEST_P(Toy, WindowsHoldAfterADrop) {
  test::Script script;
  const std::vector<int32_t> survivors = ints("survivors");
  const int layer = json::value_to<int>(golden.at("drop_layer"));
  // The golden drops them behind the layer: it needs nothing of the layer's second half for those that go.
  script.decide = [&](LayerView& view) {
    Decision decision;
    decision.kept = KeepSet{};
    if (view.layer() == layer) decision.live = view.keep(survivors);
    return decision;
  };
  expect_logits("drop_logits", run(test::TestMethod(script)).logits);
}

// The published method ranks by layers that see all; a layer with a window cannot, and says so.
TEST_P(Toy, RanksByLayersThatSeeAll) {
  const ParamValues by_layer_1 = {{"selection_layer", "1"},
                                  {"last_layers", "1"},
                                  {"first_layer", "4"},
                                  {"window", "4"},
                                  {"keep_tokens", "30"}};
  EXPECT_EQ(run(*builtin_methods().create("claa", by_layer_1)).kept_tokens, 30);
  try {
    run(*builtin_methods().create("snapkv", {{"keep", "0.5"}, {"window", "4"}}));
    FAIL() << "a layer with a sliding window was ranked";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("sliding window of 16 positions"), std::string::npos);
  }
}

// The same table gives random weights, and the plan of their memory.
TEST_P(Toy, TableServesRandomWeightsAndThePlan) {
  const ModelWeights random = random_weights(config, *backend);
  EXPECT_EQ(random.bytes(), model.weights().bytes());
  EXPECT_EQ(random.bytes(), weight_bytes(config, GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Devices, Toy, testing::ValuesIn(devices()),
                         [](const auto& info) { return test::options_name(info.param); });

TEST(ToyArchitecture, IsUnknownToTheLibrary) {
  const std::string text = read(test_data("toy/toy.gguf"));
  const gguf::File file = gguf::File::parse(std::as_bytes(std::span(text.data(), text.size())), "toy.gguf");
  EXPECT_THROW(read_config(file), Error);
}

}  // namespace
}  // namespace claa
