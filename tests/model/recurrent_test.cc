// Models with recurrent layers: where tokens may be dropped, whose state is whose, and its snapshots.
#include <gmock/gmock.h>

#include "golden_model.h"
#include "model/recurrent_state.h"
#include "model/shapes.h"
#include "prefill/memory_plan.h"

namespace claa {
namespace {

class Recurrent : public testing::TestWithParam<BackendOptions> {
 protected:
  const test::GoldenModel golden{"architectures/qwen35", architectures(), GetParam()};
  const MethodRegistry methods = builtin_methods();

  PrefillResult run(const std::string& method, const ParamValues& params = {}) const {
    return golden.run(*methods.create(method, params));
  }
  // The logits after the given tokens.
  std::vector<float> answer(KvCache& cache, int64_t tokens) const {
    Decoder decoder(golden.model, cache);
    const std::vector<int32_t> ids = golden.ints("answer");
    std::vector<float> logits;
    for (int64_t i = 0; i < tokens; ++i) logits = decoder.step(ids[usize(i)]);
    return logits;
  }
  std::string refusal(const std::string& method, const ParamValues& params) const {
    try {
      run(method, params);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "nothing was thrown";
  }
};

// Bit for bit, as often as one likes; without going back the state is another one.
TEST_P(Recurrent, SnapshotBringsBackTheState) {
  PrefillResult result = run("full");
  const KvCache::Snapshot snapshot = result.cache->snapshot();
  EXPECT_EQ(snapshot.bytes(),
            usize(golden.config.recurrent_layers()) * recurrent_state_bytes(golden.config.delta));
  const std::vector<float> first = answer(*result.cache, 5);
  const std::vector<float> behind = answer(*result.cache, 5);
  EXPECT_NE(behind, first);
  for (int i = 0; i < 2; ++i) {
    result.cache->restore(snapshot);
    EXPECT_EQ(result.cache->next_position, 147);
    EXPECT_EQ(answer(*result.cache, 5), first);
  }
  KvCache other(golden.config, *golden.backend);
  EXPECT_THROW(other.restore(snapshot), Error) << "it has fewer rows";
}

// Prefills and answers that take turns give the bits that each gives alone.
TEST_P(Recurrent, EveryRequestHasItsOwnState) {
  const auto full = methods.create("full", {}), claa = methods.create("claa", {});
  PrefillResult alone = golden.run(*full), selected = golden.run(*claa);
  const std::vector<float> logits = alone.logits, few = selected.logits;
  const std::vector<float> answered = answer(*alone.cache, 3), few_answered = answer(*selected.cache, 3);
  EXPECT_NE(logits, few);
  Prefill one(golden.model, golden.ints("ids"), *full, {}),
      other(golden.model, golden.ints("ids"), *claa, {});
  for (bool more = true; more;) {
    more = one.step();
    more = other.step() || more;
  }
  PrefillResult a = one.take(), b = other.take();
  EXPECT_EQ(a.logits, logits);
  EXPECT_EQ(b.logits, few);
  Decoder first(golden.model, *a.cache), second(golden.model, *b.cache);
  std::vector<float> of_first, of_second;
  for (int i = 0; i < 3; ++i) {
    const int32_t token = golden.ints("answer")[usize(i)];
    of_first = first.step(token), of_second = second.step(token);
  }
  EXPECT_EQ(of_first, answered);
  EXPECT_EQ(of_second, few_answered);
}

// A look-ahead drafts through the states of the layers before it, and leaves them as they were.
TEST_P(Recurrent, DraftLeavesTheStates) {
  PrefillResult full = run("full");
  test::Script script;
  int64_t fed = 0, heard = 0;
  script.decide = [&](LayerView& view) {
    if (view.layer() == 3) {
      std::vector<int32_t> some;
      for (int32_t i = 0; i < 147; i += 2) some.push_back(i);
      fed = view.draft(view.keep(some), 3, [&](LayerView& drafted, int64_t) {
        EXPECT_EQ(drafted.layer(), 3) << "the only layer so far that can rank";
        ++heard;
      });
    }
    return Decision{};
  };
  PrefillResult drafted = golden.run(test::TestMethod(script));
  EXPECT_EQ(fed, 3);
  EXPECT_EQ(heard, 1);
  EXPECT_EQ(drafted.logits, full.logits);
  EXPECT_EQ(answer(*drafted.cache, 3), answer(*full.cache, 3));
}

// Selection in a model with recurrent layers: spec.md 1.9.
TEST_P(Recurrent, DropsBehindHalfDepthAndAFifthAtLeast) {
  EXPECT_THAT(refusal("claa", {{"selection_layer", "2"}}), testing::HasSubstr("layer 2 is recurrent"));
  EXPECT_THAT(refusal("claa", {{"keep", "0.19"}}), testing::HasSubstr("27 of 147 tokens are too few"));
  EXPECT_THAT(refusal("fastkv", {{"keep_tokens", "28"}}), testing::HasSubstr("keep at least 29"));
  const std::string heads = "3.0,3.1";
  EXPECT_THAT(refusal("claa", {{"heads", heads}, {"keep", "0.1"}}), testing::HasSubstr("too few"));
  test::Script early;
  early.decide = [](LayerView&) { return Decision{}; };
  early.first_drop = 0;
  EXPECT_THROW(golden.run(test::TestMethod(early)), Error);

  PrefillOptions options;
  options.profiled = true;
  const auto few = methods.create("claa", {{"keep", "0.1"}});
  EXPECT_EQ(run_prefill(golden.model, golden.ints("ids"), *few, options).kept_tokens, 14);
  EXPECT_EQ(run("snapkv", {{"keep", "0.1"}}).kept_tokens, 147) << "no token stops being live";
  EXPECT_EQ(run("uniform", {{"keep", "0.1"}}).kept_tokens, 14) << "nor does one that never enters";
}

TEST_P(Recurrent, HalfDepthIsTheEarliestLayer) {
  PromptInfo info = prompt_info(golden.config, 100);
  info.recurrent[1] = false;
  try {
    check_drop(info, 1);
    FAIL() << "a drop before half depth";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("from half depth on, which is layer 3"));
  }
  check_drop(info, 3);
  std::fill(info.recurrent.begin(), info.recurrent.end(), false);
  check_drop(info, 1);
  check_drop(info, 1, 1, 1);
}

TEST_P(Recurrent, SelectionSaysThatItIsUnmeasured) {
  const std::string note = run("claa").report.note;
  EXPECT_THAT(note, testing::HasSubstr("unmeasured"));
  EXPECT_EQ(note.find("unmeasured"), note.rfind("unmeasured"));
  EXPECT_EQ(run("full").report.note, "");
  EXPECT_EQ(run("claa", {{"keep", "1"}}).report.note, "");
}

// Only the layers that attend have entries, and count.
TEST_P(Recurrent, CachesEntriesOfLayersThatAttend) {
  const PrefillResult result = run("claa", {{"keep", "0.25"}, {"first_layer", "0"}});
  EXPECT_EQ(result.report.selection_layer, 3);
  for (int64_t layer = 0; layer < 8; ++layer) {
    EXPECT_EQ(result.layers[usize(layer)].live, layer > 3 ? 36 : 147) << layer;
    EXPECT_EQ(result.cache->length(layer), golden.config.spec(layer).recurrent ? 0 : 36) << layer;
  }
  PrefillOptions options;
  options.reserve = 7;
  const PrefillResult full =
      run_prefill(golden.model, golden.ints("ids"), *methods.create("full", {}), options);
  const MemoryPlan plan = plan_memory(golden.config, golden.backend->traits(), 147, 7);
  EXPECT_EQ(plan.cache, full.cache->bytes());
}

// In the last layer one row goes on, but all rows make its state.
TEST_P(Recurrent, LastLayerMayBeRecurrent) {
  ModelConfig config = golden.config;
  config.layers = 7, config.specs.resize(7);
  const Model model(config, random_weights(config, *golden.backend), *golden.backend);
  const auto full = methods.create("full", {});
  const std::vector<int32_t> ids = golden.ints("ids");
  const std::vector<int32_t> most(ids.begin(), ids.end() - 2);
  PrefillResult result = run_prefill(model, most, *full, {});
  Decoder decoder(model, *result.cache);
  decoder.step(ids[ids.size() - 2]);
  const std::vector<float>& got = decoder.step(ids.back());
  const std::vector<float> want = run_prefill(model, ids, *full, {}).logits;
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(want[i], got[i], 1e-4) << i;
}

#ifndef CLAA_TEST_CUDA
// Queries and their gates are rows of one tensor, and alpha and beta are small: all of it may stay in the
// file.
TEST(RecurrentWeights, ResidentOnesGiveTheSameBits) {
  for (const char* name : {"architectures/qwen35", "architectures/qwen35moe"}) {
    BackendOptions options{"cpu", DType::kF32, 2, ""};
    const auto full = builtin_methods().create("full", {});
    const test::GoldenModel widened(name, architectures(), options);
    options.resident = true;
    const test::GoldenModel resident(name, architectures(), options);
    EXPECT_EQ(resident.run(*full).logits, widened.run(*full).logits) << name;
    EXPECT_GT(resident.model.weights().resident_bytes(), 0u);
    EXPECT_EQ(weight_bytes(resident.config, options, &resident.file), resident.model.weights().bytes())
        << name;
    resident.expect_answer();
  }
}
#endif

// By hand: of 32 layers 8 have K and V, and 24 a state, whatever the length.
TEST(RecurrentShape, PlanOfAPublishedOne) {
  const ModelConfig& config = find_shape("qwen3.5-9b");
  BackendOptions options;
  options.name = "cuda";
  for (const int64_t tokens : {1, 8192}) {
    const MemoryPlan plan = plan_memory(config, device_traits(options), tokens, 0);
    const size_t entries = 8 * usize(tokens) * 2 * 4 * 256 * 2;
    EXPECT_EQ(plan.cache, entries + 24 * (32 * 128 * 128 + 3 * 8192) * 4);
  }
  EXPECT_NEAR(static_cast<double>(weight_bytes(config, options)), 2 * 8.95e9, 0.02e9);
}

INSTANTIATE_TEST_SUITE_P(Devices, Recurrent, testing::ValuesIn(test::golden_devices()),
                         [](const auto& info) { return test::options_name(info.param); });

}  // namespace
}  // namespace claa
