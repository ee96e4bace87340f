// The runner: entries, partial passes, drops, cancellation, cache growth, misuse, and a ranker as a newcomer
// writes it.
#include <atomic>
#include <numeric>

#include "claa/ranker.h"
#include "core/usize.h"
#include "kv/keep_set.h"
#include "prefill/prefill_support.h"
#include "prefill/test_methods.h"

namespace claa {
namespace {

using test::entry_method;
using test::prompt_of;
using test::Script;
using test::TestMethod;

class Runner : public test::PrefillTest {
 protected:
  ErrorCode code_of(const Method& method, const std::vector<int32_t>& ids) {
    try {
      run(method, ids);
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorCode::kIo;
  }
};

TEST_P(Runner, EntryOfAllTokensIsFull) {
  const std::vector<int32_t> ids = prompt_of(61);
  std::vector<int32_t> all(61);
  std::iota(all.begin(), all.end(), 0);
  PrefillResult full = run("full", {}, ids);
  EXPECT_EQ(run(entry_method(all), ids).logits, full.logits);
  EXPECT_EQ(run(entry_method(all, true), ids).logits, full.logits);
  EXPECT_EQ(run(entry_method({}), ids).logits, full.logits);
}

TEST_P(Runner, RenumberedEntryIsAPromptOfItsOwn) {
  const std::vector<int32_t> ids = prompt_of(61), chosen = {0, 3, 4, 17, 18, 40, 59, 60};
  std::vector<int32_t> sub;
  for (const int32_t i : chosen) sub.push_back(ids[usize(i)]);
  PrefillResult full = run("full", {}, sub), entered = run(entry_method(chosen, true), ids);
  EXPECT_EQ(entered.logits, full.logits);
  EXPECT_EQ(entered.cache->next_position, 8);
  EXPECT_EQ(entered.selected, chosen) << "what was selected is told in prompt positions";
  EXPECT_EQ(decode(entered, {5, 6}), decode(full, {5, 6}));
}

TEST_P(Runner, EntryWithOriginalPositions) {
  const std::vector<int32_t> ids = prompt_of(61), chosen = {0, 3, 4, 17, 18, 40, 59, 60};
  PrefillResult entered = run(entry_method(chosen), ids), renumbered = run(entry_method(chosen, true), ids);
  EXPECT_NE(entered.logits, renumbered.logits);
  EXPECT_EQ(entered.cache->next_position, 61);
  for (int64_t layer = 0; layer < 6; ++layer) {
    EXPECT_EQ(entered.cache->prompt_positions(layer), std::vector<std::vector<int32_t>>{chosen});
  }
  // Dropping at layer 0 is an entry too, but for layer 0 itself: only its later layers are alike in length.
  EXPECT_EQ(entered.layers.front().live, 8);
}

// The answer begins with the logits of the last token that enters, whatever its position.
TEST_P(Runner, EntryWithoutTheLastPromptToken) {
  const std::vector<int32_t> ids = prompt_of(61), chosen = {0, 3, 4, 17, 18, 40};
  Script script;
  script.entry = [&](const auto&) { return Entry{chosen, false, 41}; };
  PrefillResult entered = run(TestMethod(script), ids);
  EXPECT_EQ(entered.cache->next_position, 41);
  std::vector<int32_t> shorter(ids.begin(), ids.begin() + 41);
  EXPECT_EQ(entered.logits, run(entry_method(chosen), shorter).logits);
}

TEST_P(Runner, RefusesSenselessEntries) {
  const std::vector<int32_t> ids = prompt_of(20);
  EXPECT_EQ(code_of(entry_method({0, 19, 20}), ids), ErrorCode::kInternal) << "outside the prompt";
  EXPECT_EQ(code_of(entry_method({-1, 19}), ids), ErrorCode::kInternal);
  EXPECT_EQ(code_of(entry_method({5, 3, 19}), ids), ErrorCode::kInternal) << "not ascending";
  EXPECT_EQ(code_of(entry_method({3, 3, 19}), ids), ErrorCode::kInternal) << "not unique";
  EXPECT_THROW(run("full", {}, {}), Error);
  EXPECT_THROW(run("full", {}, std::vector<int32_t>(2000, 1)), Error) << "beyond the context";
}

// A partial pass shows what the real pass shows, and leaves it alone. Then the method restarts, as gemfilter
// does.
TEST_P(Runner, APreviewRunsLayersBeforeTheRealPass) {
  const std::vector<int32_t> ids = prompt_of(61);
  std::vector<std::vector<float>> observed, decided;
  std::vector<int> layers;
  Script script = test::preview_script(3, [&](LayerView& view) {
    layers.push_back(view.layer());
    EXPECT_EQ(view.live(), 61);
    EXPECT_EQ(view.prompt().tokens, 61);
    observed.push_back(view.scores({}).to_host());
  });
  for (const int last : {6, -1})
    EXPECT_EQ(code_of(TestMethod(test::preview_script(last, {})), ids), ErrorCode::kInternal);
  script.decide = [&](LayerView& view) {
    if (view.layer() <= 3) decided.push_back(view.scores({}).to_host());
    return Decision{};
  };
  PrefillResult result = run(TestMethod(script), ids);
  EXPECT_EQ(layers, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(observed, decided);
  EXPECT_EQ(result.logits, run("full", {}, ids).logits);
}

// Where nothing can be dropped all queries are there before the method is asked, and the window's are read
// from them; where something can, the window's are projected on their own.
TEST_P(Runner, ScoresDoNotDependOnWhichQueriesAreThere) {
  const std::vector<int32_t> ids = prompt_of(61);
  std::vector<std::vector<float>> seen[2];
  Script script;
  for (const bool may_drop : {false, true}) {
    script.may_drop = may_drop;
    script.decide = [&, may_drop](LayerView& view) {
      ScoreSpec spec;
      spec.window = 5;
      seen[may_drop ? 1 : 0].push_back(view.scores(spec).to_host());
      return Decision{};
    };
    EXPECT_EQ(run(TestMethod(script), ids).logits, run("full", {}, ids).logits);
  }
  ASSERT_EQ(seen[0].size(), 6u);
  ASSERT_EQ(seen[1].size(), 6u);
  for (size_t layer = 0; layer < 6; ++layer) {
    ASSERT_EQ(seen[0][layer].size(), seen[1][layer].size());
    for (size_t i = 0; i < seen[0][layer].size(); ++i)
      EXPECT_NEAR(seen[0][layer][i], seen[1][layer][i], 1e-2 * std::abs(seen[1][layer][i]) + 1e-6)
          << layer << ", " << i;
  }
}

// Dropping tokens in the runner equals a full pass of all tokens up to there: the survivors' rows of the next
// layer agree with those of full, because what is dropped was only never finished.
TEST_P(Runner, SurvivorsOfADropAgreeWithFull) {
  const std::vector<int32_t> ids = prompt_of(61), chosen = {0, 7, 8, 30, 59, 60};
  Script script;
  script.decide = [&](LayerView& view) {
    Decision decision;
    if (view.layer() == 2) decision.live = view.keep(chosen);
    return decision;
  };
  PrefillResult dropped = run(TestMethod(script), ids), full = run("full", {}, ids);
  EXPECT_EQ(dropped.selected, chosen);
  for (size_t i = 0; i < chosen.size(); ++i) {
    for (int64_t head = 0; head < 2; ++head) {
      const KvView a = dropped.cache->view(3), b = full.cache->view(3);
      // Equal up to the order of sums, which may differ with the number of rows.
      const double slack = GetParam().dtype == DType::kBF16 ? 0.05 : 1e-4;
      const auto row = [&](const Tensor& t, int64_t slot) {
        return test::row_of(*tiny.backend, t, head, slot);
      };
      EXPECT_THAT(row(a.k, static_cast<int64_t>(i)),
                  testing::Pointwise(testing::FloatNear(static_cast<float>(slack)), row(b.k, chosen[i])));
      EXPECT_THAT(row(a.v, static_cast<int64_t>(i)),
                  testing::Pointwise(testing::FloatNear(static_cast<float>(slack)), row(b.v, chosen[i])));
    }
  }
  EXPECT_EQ(dropped.layers[2].live, 61);
  EXPECT_EQ(dropped.layers[3].live, 6);
}

TEST_P(Runner, ADropMustKeepTheLastToken) {
  Script script;
  script.decide = [](LayerView& view) {
    return view.layer() == 1 ? Decision{.live = view.keep({0, 1, 2})} : Decision{};
  };
  EXPECT_EQ(code_of(TestMethod(script), prompt_of(20)), ErrorCode::kInternal);
}

TEST_P(Runner, ViewRefusesMisuse) {
  Script script;
  int layers = 0;
  script.decide = [&](LayerView& view) {
    ++layers;
    EXPECT_THROW(view.keep({3, 2}), Error);
    EXPECT_THROW(view.keep({2, 2}), Error);
    EXPECT_THROW(view.keep({-1}), Error);
    EXPECT_THROW(view.keep({20}), Error);
    EXPECT_THROW(view.aggregate({}, Aggregator::kSum), Error);
    ScoreSpec wide;
    wide.window = 21;
    EXPECT_THROW(view.scores(wide), Error);
    const Scores scores = view.scores({});
    EXPECT_THROW(view.top_k(scores, 10, 7), Error) << "scores and tail must cover the live tokens";
    EXPECT_TRUE(view.top_k(scores, 20, 8).all());
    EXPECT_EQ(view.top_k(scores, 3, 8).count(), 8) << "the tail is forced";
    std::vector<int32_t> all(20);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_TRUE(view.keep(all).all());
    return Decision{};
  };
  run(TestMethod(script), prompt_of(20));
  EXPECT_EQ(layers, 6);
  EXPECT_TRUE(KeepSet{}.all());
  EXPECT_EQ(KeepSet{}.rows(), 1);
  EXPECT_THROW(KeepSet{}.count(), Error);
  EXPECT_THROW(KeepSet{}.to_host(), Error);
  EXPECT_TRUE(Scores{}.empty());
  EXPECT_TRUE(Scores{}.to_host().empty());
}

// Windows of several widths at one layer: each spec sees its own queries. Wider than a chunk of rows, too.
TEST_P(Runner, SpecsOfSeveralWindowsDoNotDisturbEachOther) {
  Script script;
  script.decide = [](LayerView& view) {
    ScoreSpec narrow, wide;
    narrow.window = 3;
    wide.window = 100;
    const std::vector<float> first = view.scores(narrow).to_host();
    view.scores(wide);
    EXPECT_EQ(view.scores(narrow).to_host(), first);
    return Decision{};
  };
  run(TestMethod(script), prompt_of(140));
}

TEST_P(Runner, CancelAtAnyChunk) {
  const std::vector<int32_t> ids = prompt_of(140);
  const auto method = registry.create("claa", {{"keep", "0.3"}});
  for (int at = 1; at <= 6; ++at) {
    std::atomic<bool> cancel{false};
    PrefillOptions options;
    options.cancel = &cancel;
    int calls = 0;
    options.progress = [&](int64_t layer, int64_t layers, int64_t rows, int64_t live) {
      EXPECT_LT(layer, layers);
      EXPECT_LE(rows, live);
      if (++calls == at) cancel = true;
    };
    try {
      run(*method, ids, options);
      // Nothing remains to be stopped after the last chunk of the last layer.
      EXPECT_EQ(calls, at);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCancelled);
      EXPECT_EQ(calls, at) << "a chunk ran after the cancellation";
    }
  }
  std::atomic<bool> cancel{true};
  PrefillOptions options;
  options.cancel = &cancel;
  EXPECT_THROW(run(*method, ids, options), Error);
}

TEST_P(Runner, CacheGrowsBeyondItsReserve) {
  const std::vector<int32_t> ids = prompt_of(40), fed = prompt_of(150, 9);
  PrefillOptions tight, roomy;
  tight.reserve = 0;
  roomy.reserve = 200;
  for (const char* name : {"full", "claa"}) {
    const auto method = registry.create(name, {});
    PrefillResult a = run(*method, ids, tight), b = run(*method, ids, roomy);
    EXPECT_LT(a.cache->bytes(), b.cache->bytes());
    EXPECT_EQ(decode(a, fed), decode(b, fed)) << name;
    EXPECT_EQ(a.cache->next_position, 190);
    EXPECT_EQ(a.cache->length(0), 190);
    expect_same(name, a, b);
  }
}

// Decoding a token equals having had it in the prompt, up to the order of sums; with int8 a single row
// attends in bf16, which a prompt's rows do in 8 bits.
TEST_P(Runner, DecodeContinuesThePrompt) {
  // int8: a single row attends in bf16. Logits of this model are 1 on average, their errors 0.1.
  const double tolerance = GetParam().int8 ? 0.5 : GetParam().dtype == DType::kBF16 ? 0.15 : 1e-3;
  std::vector<int32_t> ids = prompt_of(30);
  PrefillResult shorter = run("full", {}, {ids.begin(), ids.end() - 1});
  const std::vector<float> decoded = decode(shorter, {ids.back()}).front();
  const std::vector<float> whole = run("full", {}, ids).logits;
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_NEAR(decoded[i], whole[i], tolerance);
  }
  Decoder decoder(tiny.model, *shorter.cache);
  EXPECT_THROW(decoder.step(97), Error);
  EXPECT_THROW(decoder.step(-1), Error);
}

// The next position is stored, never inferred from a length: keys of the first layer depend on token and
// position alone, so that after any drop they equal those that full writes.
TEST_P(Runner, DecodePositionsFollowThePromptNotTheCache) {
  const std::vector<int32_t> ids = prompt_of(61), fed = {3, 50, 7};
  PrefillResult full = run("full", {}, ids);
  decode(full, fed);
  for (const char* name : {"claa", "fastkv", "snapkv"}) {
    PrefillResult result = run(name, {{"keep", "0.2"}, {"first_layer", "0"}}, ids);
    ASSERT_EQ(result.cache->length(0), 12) << name;
    EXPECT_EQ(result.cache->next_position, 61) << name;
    decode(result, fed);
    EXPECT_EQ(result.cache->next_position, 64) << name;
    for (int64_t step = 0; step < 3; ++step) {
      EXPECT_EQ(cache_row(*result.cache, 0, 1, 12 + step), cache_row(*full.cache, 0, 1, 61 + step))
          << name << ", step " << step;
    }
  }
}

TEST_P(Runner, AModelOfOneLayerHasNothingToDrop) {
  const test::TinyModel one(GetParam(), test::TinyShape{.layers = 1});
  const std::vector<int32_t> ids = prompt_of(61);
  const PrefillResult full = run_prefill(one.model, ids, *registry.create("full", {}), {});
  for (const char* name : {"claa", "fastkv"}) {
    const auto method = registry.create(name, {{"first_layer", "1"}});
    const PrefillResult result = run_prefill(one.model, ids, *method, {});
    EXPECT_FALSE(result.report.active) << name;
    EXPECT_FALSE(result.report.reason.empty()) << name;
    EXPECT_EQ(result.logits, full.logits) << name;
  }
}

CLAA_EVERY_PREFILL_DEVICE(Runner);

// A newcomer's ranker: the largest raw product of the last query with a key, over all heads.
struct ToyParams : SelectionParams {
  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    visit_selection(v);
  }
};

class ToyRanker : public Ranker {
 public:
  Scores rank(LayerView& view) override {
    ScoreSpec spec;
    spec.window = 1, spec.softmax = false, spec.pool = PoolKind::kNone;
    spec.group = Reduce::kMax, spec.heads = Reduce::kMax;
    return view.scores(spec);
  }
  Scores combine(LayerView& view, std::span<const Scores> layers) override {
    return view.aggregate(layers, Aggregator::kRawMax);
  }
};

std::unique_ptr<Run> start_toy(const ToyParams& params, const PromptInfo& prompt) {
  return make_run(prompt, PerLayer{.window = 1,
                                   .kept = params.live_budget(),
                                   .ranker = std::make_shared<ToyRanker>(),
                                   .live = Drop{params.selection_layer_of(prompt), params.live_budget()}});
}

TEST(Newcomer, ARankerIsAMethod) {
  MethodRegistry registry;
  add_method<ToyParams>(registry, "toy", "one raw product", "none", start_toy);
  test::TinyModel& tiny = test::tiny_on({"cpu", DType::kF32, 1, ""});
  const std::vector<int32_t> ids = prompt_of(61);
  const auto method = registry.create("toy", {{"keep", "0.1"}, {"selection_layer", "1"}});
  EXPECT_EQ(method->params().front(), (std::pair<std::string, std::string>("keep", "0.1")));
  PrefillResult result = run_prefill(tiny.model, ids, *method, {});
  EXPECT_EQ(result.selected.size(), 6u);
  EXPECT_EQ(result.selected.back(), 60);
  EXPECT_EQ(result.report.scores.size(), 60u);
  // One row of scores for all heads: the cache is shared by them.
  EXPECT_EQ(result.cache->prompt_positions(0).size(), 1u);
}

}  // namespace
}  // namespace claa
