// Gemma 4: what its layers share, the rows that nobody reads, and files that contradict themselves.
#include <gmock/gmock.h>

#include "claa/error.h"
#include "core/usize.h"
#include "gguf/writer.h"
#include "golden_model.h"
#include "prefill/memory_plan.h"

namespace claa {
namespace {

using testing::HasSubstr;

constexpr int kLayers = 8, kWindowSource = 3, kSource = 4;  // of the small model, layers 5 to 7 share

class Gemma4 : public testing::TestWithParam<BackendOptions> {
 protected:
  PrefillResult run(const char* method, const ParamValues& settings,
                    const PrefillOptions& options = {}) const {
    return run_prefill(small.model, small.ints("ids"), *builtin_methods().create(method, settings), options);
  }
  std::string refusal(const ParamValues& settings) const {
    try {
      run("claa", settings);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "accepted";
  }
  const test::GoldenModel small{"architectures/gemma4_small", architectures(), GetParam()};
};

// Behind the last layer with K and V of its own only the last row goes on, in `full` too.
TEST_P(Gemma4, RowsThatNobodyReadChangeNothing) {
  PrefillOptions every;
  every.every_row = true;
  for (const char* method : {"full", "snapkv", "claa"}) {
    const ParamValues settings =
        method == std::string("full") ? ParamValues{} : ParamValues{{"keep_tokens", "30"}};
    const PrefillResult saved = run(method, settings), whole = run(method, settings, every);
    // One row is multiplied by other kernels than many, as in every model's last layer, but for the
    // reference.
    const float most = GetParam().name == "reference" ? 0 : 1e-4f;
    for (size_t i = 0; i < whole.logits.size(); ++i)
      ASSERT_NEAR(saved.logits[i], whole.logits[i], most) << method;
    const int64_t live = method == std::string("claa") ? 30 : 61;
    EXPECT_EQ(whole.layers.back().live, live) << method;
    EXPECT_EQ(saved.layers[kSource].live, live) << method;
    for (int layer = kSource + 1; layer < kLayers; ++layer) EXPECT_EQ(saved.layers[usize(layer)].live, 1);
    EXPECT_EQ(saved.kept_tokens, live) << method;
  }
}

TEST_P(Gemma4, LayersThatShareHaveNoCacheOfTheirOwn) {
  PrefillOptions options;
  options.reserve = 9;
  const PrefillResult result = run("full", {}, options);
  const MemoryPlan plan = plan_memory(small.config, small.backend->traits(), 61, 9);
  EXPECT_EQ(result.cache->bytes(), plan.cache);
  // Two KV heads, of 16 in windows and of 32 elsewhere; layers 1 and 4 see all, 0, 2 and 3 have windows.
  EXPECT_EQ(plan.cache, size_t{70 * 2 * 2 * (3 * 16 + 2 * 32) * 4});
  const int64_t rows = small.backend->traits().padded(61);
  EXPECT_EQ(plan.layer_kv, usize(rows * 2 * 2 * (16 + 32 + 32) * 4)) << "two sources, and the widest other";
}

// The kept set of a source serves the layers that read it.
TEST_P(Gemma4, ACutSourceIsCutForAll) {
  const PrefillResult cut = run("snapkv", {{"keep_tokens", "20"}});
  for (const int layer : {kSource, kLayers - 1}) {
    EXPECT_EQ(cut.cache->length(layer), 20) << layer;
    EXPECT_EQ(cut.cache->prompt_positions(layer), cut.cache->prompt_positions(kSource));
  }
  for (const int layer : {kWindowSource, kSource + 1}) EXPECT_EQ(cut.cache->length(layer), 61) << layer;
  const KvCache::Snapshot before = cut.cache->snapshot();
  Decoder decoder(small.model, *cut.cache);
  decoder.step(small.ints("answer").front());
  for (const int layer : {kSource, kLayers - 1}) EXPECT_EQ(cut.cache->length(layer), 21) << layer;
  cut.cache->restore(before);
  for (const int layer : {kSource, kLayers - 1}) EXPECT_EQ(cut.cache->length(layer), 20) << layer;
}

TEST_P(Gemma4, TokensAreDroppedBeforeWhatOthersRead) {
  EXPECT_EQ(run("claa", {{"keep_tokens", "30"}}).report.selection_layer, 1) << "half depth is layer 3";
  EXPECT_THAT(refusal({{"keep_tokens", "30"}, {"selection_layer", "4"}}),
              HasSubstr("layer 4 comes after layers whose keys and values later ones read; tokens can be "
                        "chosen after layers 1"));
  EXPECT_THAT(refusal({{"keep_tokens", "30"}, {"selection_layer", "6"}}),
              HasSubstr("layer 6 reads keys and values of an earlier one and does not rank"));
  EXPECT_THAT(refusal({{"keep_tokens", "30"}, {"selection_layer", "2"}}),
              HasSubstr("layer 2 has a sliding window"));
  test::Script script;
  script.decide = [](LayerView& view) {
    Decision decision;
    if (view.layer() == kSource) decision.live = view.keep({1, 60});
    return decision;
  };
  EXPECT_THROW(small.run(test::TestMethod(script)), Error);
}

INSTANTIATE_TEST_SUITE_P(All, Gemma4, testing::ValuesIn(test::golden_devices()),
                         [](const auto& info) { return test::options_name(info.param); });

#ifndef CLAA_TEST_CUDA
// Also the table of the layers' inputs, of which some columns are read.
TEST(Gemma4Weights, MayStayInTheFile) {
  for (const char* name : {"gemma4", "gemma4_small", "gemma4_experts"}) {
    SCOPED_TRACE(name);
    BackendOptions options{"cpu", DType::kF32, 2, ""};
    options.resident = true;
    const test::GoldenModel golden(std::string("architectures/") + name, architectures(), options);
    EXPECT_GT(golden.model.weights().resident_bytes(), 0u);
    golden.expect_prompt();
    golden.expect_answer();
  }
}

// A file of one layer that sees all and one with a window, both small, and a change of its keys.
class Gemma4File : public testing::Test {
 protected:
  using Change = std::function<void(std::map<std::string, gguf::Writer::Value>&)>;
  static ModelConfig read(const Change& change, const std::vector<std::string>& more = {}) {
    std::map<std::string, gguf::Writer::Value> keys{
        {"context_length", uint32_t{64}},
        {"embedding_length", uint32_t{8}},
        {"block_count", uint32_t{3}},
        {"feed_forward_length", std::vector<uint32_t>{8, 8, 16}},
        {"attention.head_count", uint32_t{4}},
        {"attention.head_count_kv", std::vector<uint32_t>{2, 1, 2}},
        {"attention.key_length", uint32_t{8}},
        {"attention.value_length", uint32_t{8}},
        {"attention.key_length_swa", uint32_t{4}},
        {"attention.sliding_window", uint32_t{16}},
        {"attention.sliding_window_pattern", std::vector<bool>{true, false, true}},
        {"attention.shared_kv_layers", uint32_t{1}}};
    change(keys);
    gguf::Writer writer;
    writer.add("general.architecture", std::string("gemma4"));
    for (const auto& [key, value] : keys) writer.add("gemma4." + key, value);
    const std::vector<float> zeros(64);
    writer.add_tensor("token_embd.weight", {8, 2}, gguf::TensorType::kF32,
                      std::as_bytes(std::span(zeros).first(16)));
    for (const std::string& name : more)
      writer.add_tensor(name, {8, 8}, gguf::TensorType::kF32, std::as_bytes(std::span(zeros)));
    const std::vector<std::byte> bytes = writer.to_bytes();
    return read_config(gguf::File::parse(bytes, "m.gguf"));
  }
  static std::string refusal(const Change& change, const std::vector<std::string>& more = {}) {
    try {
      read(change, more);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }
};

TEST_F(Gemma4File, ShapesAreThoseOfEachLayer) {
  const ModelConfig config = read([](auto&) {});
  EXPECT_EQ(config.q_size(0), 16);
  EXPECT_EQ(config.q_size(1), 32);
  EXPECT_EQ(config.kv_size(0), 8);
  EXPECT_EQ(config.kv_size(1), 8);
  EXPECT_EQ(config.ffn_of(2), 16);
  EXPECT_EQ(config.kv_heads, 1) << "of the layer that ranks";
  EXPECT_EQ(config.spec(2).kv_source, 0);
  EXPECT_EQ(config.last_kv_layer(), 1);
  EXPECT_FALSE(config.spec(2).value_is_key) << "it has none of its own";
  EXPECT_TRUE(config.spec(1).value_is_key);
}

TEST_F(Gemma4File, UnusedTensorsOfSharedLayersAreKnown) {
  EXPECT_EQ(refusal([](auto&) {}, {"blk.2.attn_k.weight", "blk.2.attn_v.weight", "blk.2.attn_k_norm.weight"}),
            "accepted");
  EXPECT_THAT(refusal([](auto&) {}, {"blk.2.attn_q_bias.weight"}), HasSubstr("has no place in a model"));
}

TEST_F(Gemma4File, ContradictionsAreRefused) {
  const auto with = [](const char* key, gguf::Writer::Value value) {
    return [=](std::map<std::string, gguf::Writer::Value>& keys) { keys[key] = value; };
  };
  EXPECT_THAT(refusal(with("attention.shared_kv_layers", uint32_t{3})),
              HasSubstr("attention.shared_kv_layers is 3 in a model of 3 layers"));
  EXPECT_THAT(refusal(with("attention.shared_kv_layers", uint32_t{2})),
              HasSubstr("layer 1 shares K and V, but no layer before 1 has such heads"));
  EXPECT_THAT(refusal(with("attention.head_count_kv", std::vector<uint32_t>{1, 1, 2})),
              HasSubstr("layer 2 shares K and V, but no layer before 2 has such heads"));
  EXPECT_THAT(refusal(with("attention.head_count_kv", std::vector<uint32_t>{2, 1})),
              HasSubstr("'gemma4.attention.head_count_kv' has 2 values for 3 layers"));
  EXPECT_THAT(refusal(with("attention.head_count_kv", std::vector<uint32_t>{2, 3, 2})),
              HasSubstr("heads must divide"));
  EXPECT_THAT(refusal(with("feed_forward_length", std::vector<uint32_t>{8, 0, 16})),
              HasSubstr("is 0, outside 1.."));
  EXPECT_THAT(refusal(with("attention.sliding_window_pattern", uint32_t{2})), HasSubstr("must be a list"));
  EXPECT_THAT(refusal(with("attention.sliding_window_pattern", std::vector<bool>{true})),
              HasSubstr("has 1 values for 3 layers"));
  EXPECT_THAT(refusal(with("attention.key_length_swa", uint32_t{5})), HasSubstr("even size"));
  EXPECT_THAT(refusal(with("attention.value_length_swa", uint32_t{2})),
              HasSubstr("must be of one, even size"));
  EXPECT_THAT(refusal(with("rope.dimension_count_swa", uint32_t{6})), HasSubstr("outside 1..4"));
  EXPECT_THAT(refusal(with("rope.dimension_count_swa", uint32_t{3})), HasSubstr("is odd"));
  EXPECT_THAT(refusal(with("rope.freq_base_swa", 0.5f)), HasSubstr("must be above 1"));
}
#endif

}  // namespace
}  // namespace claa
