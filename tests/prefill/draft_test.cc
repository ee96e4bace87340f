// Runs that choose twice: the second choice replaces the first without a trace, the drafted tokens are those
// that the first choice answers with, and claa adds the attention of these tokens to its ranking.
#include "prefill/draft.h"

#include <algorithm>
#include <numeric>

#include "claa/heads.h"
#include "core/usize.h"
#include "prefill/prefill_support.h"
#include "prefill/test_methods.h"

namespace claa {
namespace {

using test::prompt_of;
using test::Script;
using test::TestMethod;
using testing::HasSubstr;

constexpr int64_t kTokens = 83, kWindow = 8, kKernel = 5, kBudget = 16;
constexpr int kLayer = 3;

class Draft : public test::PrefillTest {
 protected:
  // Greedy tokens after a prefill, as a look-ahead drafts them.
  std::vector<int32_t> greedy(PrefillResult& prefill, int64_t count) {
    Decoder decoder(tiny.model, *prefill.cache);
    std::vector<int32_t> tokens;
    std::vector<float> logits = prefill.logits;
    for (int64_t i = 0; i < count; ++i) {
      tokens.push_back(static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
      logits = decoder.step(tokens.back());
    }
    return tokens;
  }
  // Drops at kLayer to `kept`, which the layers from 1 on wait for; after a draft from `first` when there is
  // one, to which `listen` listens.
  static Script dropping(
      std::vector<int32_t> kept, std::vector<int32_t> first = {}, int64_t tokens = 0,
      ListenToDraft listen = [](LayerView&, int64_t) {}) {
    Script script;
    script.decide = [=](LayerView& view) {
      Decision decision;
      if (view.layer() >= 1 && view.layer() < kLayer) decision.kept = std::nullopt;
      if (view.layer() != kLayer) return decision;
      if (!first.empty()) view.draft(view.keep(first), tokens, listen);
      decision.live = view.keep(kept);
      decision.kept = decision.live;
      return decision;
    };
    return script;
  }
  PrefillResult run_heads(ParamValues params) {
    params.insert({{"heads", "0.1*0.5,2.3*2,2.0"},
                   {"keep_tokens", std::to_string(kBudget)},
                   {"kernel", std::to_string(kKernel)},
                   {"selection_layer", "3"},
                   {"first_layer", "0"}});
    return run("claa", params, prompt_of(kTokens));
  }
  // Window attention, unpooled, of the last `window` tokens: by query head of a layer, [token].
  std::vector<std::vector<std::vector<float>>> attention(const std::vector<int32_t>& ids, int64_t window) {
    std::vector<std::vector<std::vector<float>>> all;
    run(TestMethod(
            test::preview_script(kLayer, [&](LayerView& view) { all.push_back(rows_of(view, window)); })),
        ids);
    return all;
  }
  static std::vector<std::vector<float>> rows_of(LayerView& view, int64_t window) {
    ScoreSpec spec;
    spec.window = window;
    spec.pool = PoolKind::kNone;
    spec.group = spec.heads = Reduce::kKeep;
    const Scores scores = view.scores(spec);
    const std::vector<float> values = scores.to_host();
    std::vector<std::vector<float>> rows;
    for (auto row = values.begin(); row != values.end(); row += scores.tokens())
      rows.emplace_back(row, row + scores.tokens());
    return rows;
  }
  // Decoding and prefill round differently, in int8 most: single rows attend in bf16. States are 3 % off,
  // logits of this sharp model reach 20, and a probability moves by up to a quarter of its logit's error.
  double tolerance() const {
    if (GetParam().int8) return 0.05;
    return GetParam().dtype == DType::kF32 ? 2e-5 : 0.01;
  }
};

std::vector<int32_t> every(int32_t step, int32_t from) {
  std::vector<int32_t> kept;
  for (int32_t i = from; i < kTokens - 1; i += step) kept.push_back(i);
  kept.push_back(kTokens - 1);
  return kept;
}

TEST_P(Draft, TheSecondChoiceIsAsIfItWereTheOnlyOne) {
  PrefillResult expected = run(TestMethod(dropping(every(3, 0))), prompt_of(kTokens));
  for (const int64_t reserve : {0, 2, 64}) {  // caches grow for the drafted tokens, or have room for them
    PrefillOptions options;
    options.reserve = reserve;
    int heard = 0;
    const auto listen = [&](LayerView& view, int64_t fed) {
      EXPECT_EQ(view.layer(), heard++);
      EXPECT_EQ(fed, 4);
      ASSERT_EQ(view.live(), kTokens + 4);
      ASSERT_EQ(view.positions().size(), usize(kTokens + 4));
      for (int32_t i = 0; i < kTokens + 4; ++i) EXPECT_EQ(view.positions()[usize(i)], i);
    };
    PrefillResult result =
        run(TestMethod(dropping(every(3, 0), every(7, 2), 4, listen)), prompt_of(kTokens), options);
    EXPECT_EQ(heard, kLayer + 1);
    expect_same("reserve " + std::to_string(reserve), expected, result);
    EXPECT_EQ(decode(result, {3, 1, 96}), decode(expected, {3, 1, 96}));
    expected = run(TestMethod(dropping(every(3, 0))), prompt_of(kTokens));
  }
}

// The queries shown are those of the tokens that the first choice answers with, after the whole prompt.
TEST_P(Draft, ListensToTheAnswerOfTheFirstChoice) {
  std::vector<int32_t> ids = prompt_of(kTokens);
  Script once = dropping(every(7, 2));
  once.decide = [](LayerView& view) {
    Decision decision;
    if (view.layer() == kLayer) decision.live = view.keep(every(7, 2));
    return decision;
  };
  PrefillResult first = run(TestMethod(once), ids);
  const std::vector<int32_t> drafted = greedy(first, 4);
  std::vector<std::vector<std::vector<float>>> heard;
  run(TestMethod(dropping(every(3, 0), every(7, 2), 4,
                          [&](LayerView& view, int64_t fed) { heard.push_back(rows_of(view, fed)); })),
      ids);
  ids.insert(ids.end(), drafted.begin(), drafted.end());
  const auto expected = attention(ids, 4);
  ASSERT_EQ(heard.size(), expected.size());
  double largest = 0;
  for (size_t layer = 0; layer < expected.size(); ++layer) {
    ASSERT_EQ(heard[layer].size(), 4u);
    for (size_t head = 0; head < 4; ++head) {
      ASSERT_EQ(heard[layer][head].size(), usize(kTokens));
      for (size_t t = 0; t < usize(kTokens); ++t) {
        EXPECT_NEAR(heard[layer][head][t], expected[layer][head][t], 4 * tolerance()) << layer << ' ' << head;
        largest = std::max(largest, static_cast<double>(expected[layer][head][t]));
      }
    }
  }
  EXPECT_GT(largest, 0.5) << "attention so flat says nothing";
}

TEST_P(Draft, WithoutTokensItIsAPlainRun) {
  PrefillResult expected = run(TestMethod(dropping(every(3, 0))), prompt_of(kTokens));
  const auto silent = [](LayerView&, int64_t) { ADD_FAILURE() << "nothing was drafted"; };
  const Script script = dropping(every(3, 0), every(7, 2), 4, silent);
  PrefillOptions ended;
  ended.ends_answer = [](int32_t) { return true; };
  PrefillResult result = run(TestMethod(script), prompt_of(kTokens), ended);
  expect_same("the answer ends at once", expected, result);

  // No position is left after the prompt.
  const test::TinyModel full(GetParam(), test::TinyShape{.context = kTokens});
  PrefillResult last = run_prefill(full.model, prompt_of(kTokens), TestMethod(script), {});
  expect_same("the context is full", expected, last);
}

// Drafting from all tokens is what decoding after a full prefill does.
TEST_P(Draft, FromAllTokens) {
  int64_t drafted = 0;
  Script script;
  script.decide = [&](LayerView& view) {
    if (view.layer() == kLayer) drafted = view.draft(KeepSet{}, 4, [](LayerView&, int64_t) {});
    return Decision{};
  };
  PrefillResult full = run("full", {}, prompt_of(kTokens)),
                result = run(TestMethod(script), prompt_of(kTokens));
  EXPECT_EQ(drafted, 4);
  EXPECT_EQ(result.logits, full.logits);
  EXPECT_EQ(decode(result, {3, 1, 96}), decode(full, {3, 1, 96}));
}

TEST_P(Draft, EndsWithTheAnswerOrTheContext) {
  int64_t fed_last = 0, steps = 0;
  const TestMethod method(
      dropping(every(3, 0), every(7, 2), 9, [&](LayerView&, int64_t fed) { fed_last = fed; }));
  PrefillOptions options;
  options.ends_answer = [&](int32_t) { return ++steps > 5; };
  run(method, prompt_of(kTokens), options);
  EXPECT_EQ(fed_last, 5);
  const test::TinyModel short_context(GetParam(), test::TinyShape{.context = kTokens + 3});
  run_prefill(short_context.model, prompt_of(kTokens), method, {});
  EXPECT_EQ(fed_last, 3);
}

TEST_P(Draft, RefusesMisuse) {
  const auto code_of = [&](const Script& script) {
    try {
      run(TestMethod(script), prompt_of(kTokens));
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorCode::kIo;
  };
  EXPECT_EQ(code_of(dropping(every(3, 0), every(7, 2), 4,
                             [](LayerView& view, int64_t fed) { rows_of(view, fed + 1); })),
            ErrorCode::kInternal)
      << "queries of tokens that were not drafted";
  EXPECT_EQ(code_of(dropping(every(3, 0), every(7, 2), 4,
                             [](LayerView& view, int64_t) { view.draft(KeepSet{}, 1, {}); })),
            ErrorCode::kInternal)
      << "a draft inside a draft";
  Script cut = dropping(every(3, 0), every(7, 2), 4);
  cut.decide = [decide = cut.decide](LayerView& view) {
    Decision decision = decide(view);
    if (view.layer() == 1) decision.kept = view.keep(every(2, 0));
    return decision;
  };
  EXPECT_EQ(code_of(cut), ErrorCode::kInternal) << "a layer before does not hold the whole prompt";
  Script late;
  late.decide = [](LayerView& view) {
    if (view.layer() == 5) view.draft(KeepSet{}, 1, [](LayerView&, int64_t) {});
    return Decision{};
  };
  EXPECT_EQ(code_of(late), ErrorCode::kInternal) << "no layer is left to draft with";
  EXPECT_EQ(code_of(test::preview_script(2, [](LayerView& view) { view.draft(KeepSet{}, 1, {}); })),
            ErrorCode::kInternal)
      << "a preview has no cache to draft with";
  Script undecided;
  undecided.decide = [](LayerView& view) {
    return view.layer() == 2 ? Decision{.live = view.keep(every(3, 0)), .kept = std::nullopt} : Decision{};
  };
  EXPECT_EQ(code_of(undecided), ErrorCode::kInternal) << "tokens stop being live before a cache is decided";
}

TEST_P(Draft, StopsWhenCancelled) {
  CancelFlag cancel{false};
  PrefillOptions options;
  options.cancel = &cancel;
  options.ends_answer = [&](int32_t) {
    cancel = true;
    return false;
  };
  try {
    run(TestMethod(dropping(every(3, 0), every(7, 2), 4)), prompt_of(kTokens), options);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

// claa: the window's ranking plus that of the drafted tokens, each head's a distribution over the tokens
// before the window, weighted.
TEST_P(Draft, ClaaAddsWhatTheDraftLooksAt) {
  const std::vector<LayerHead> heads = {{0, 1, 0.5f}, {2, 0, 1}, {2, 3, 2}};
  const PrefillResult plain = run_heads({});
  PrefillResult result = run_heads({{"look_ahead", "4"}, {"look_ahead_keep", "0.12"}});
  PrefillResult first = run_heads({{"keep_tokens", "9"}, {"first_layer", "6"}});  // floor(83 * 0.12)
  std::vector<int32_t> ids = prompt_of(kTokens);
  const std::vector<int32_t> drafted = greedy(first, 4);
  ids.insert(ids.end(), drafted.begin(), drafted.end());
  const auto draft = attention(ids, 4);
  std::vector<double> expected(plain.report.scores.begin(), plain.report.scores.end());
  for (const LayerHead& h : heads) {
    const std::vector<float>& row = draft[usize(h.layer)][usize(h.head)];
    std::vector<double> pooled(expected.size(), 0.0);
    for (int64_t t = 0; t < kTokens - kWindow; ++t) {
      for (int64_t i = std::max<int64_t>(0, t - kKernel / 2); i <= t + kKernel / 2; ++i)
        pooled[usize(t)] += static_cast<double>(row[usize(i)]);
    }
    const double sum = std::accumulate(pooled.begin(), pooled.end(), 0.0);
    for (size_t t = 0; t < pooled.size(); ++t) expected[t] += static_cast<double>(h.weight) * pooled[t] / sum;
  }
  ASSERT_EQ(result.report.scores.size(), expected.size());
  for (size_t t = 0; t < expected.size(); ++t)
    EXPECT_NEAR(result.report.scores[t], expected[t], tolerance()) << t;
  EXPECT_NE(result.selected, plain.selected) << "the draft says nothing new";

  std::vector<int32_t> best = best_indices(result.report.scores, kBudget - kWindow);
  for (int64_t t = kTokens - kWindow; t < kTokens; ++t) best.push_back(static_cast<int32_t>(t));
  EXPECT_EQ(result.selected, best);
  for (int64_t layer = 0; layer < 6; ++layer)
    EXPECT_EQ(result.cache->prompt_positions(layer), std::vector<std::vector<int32_t>>{best}) << layer;
  for (const auto& logits : decode(result, {3, 1, 96})) EXPECT_TRUE(std::isfinite(logits.front()));
}

TEST_P(Draft, ClaaDraftsFromAtMostWhatItKeeps) {
  PrefillResult all = run_heads({{"look_ahead", "4"}, {"look_ahead_keep", "1"}});
  PrefillResult same = run_heads({{"look_ahead", "4"}, {"look_ahead_keep", "0.2"}});  // floor(16.6)
  expect_same("budget of the draft", all, same);
}

// The mass is that of both rankings; where the gate acts, everything is kept bit for bit.
TEST_P(Draft, ClaaCountsMassAndGatesAfterListening) {
  std::vector<float> scores = run_heads({{"look_ahead", "4"}}).report.scores;
  std::sort(scores.begin(), scores.end(), std::greater<>());
  const double total = std::accumulate(scores.begin(), scores.end(), 0.0);
  int64_t wanted = 0;
  for (double sum = 0; sum < 0.5 * total; ++wanted) sum += static_cast<double>(scores[usize(wanted)]);
  const PrefillResult result =
      run_heads({{"look_ahead", "4"}, {"mass", "0.5"}, {"keep_tokens", "82"}, {"mass_floor", "0.0001"}});
  EXPECT_GT(wanted, 3);
  EXPECT_EQ(result.kept_tokens, wanted + kWindow);

  PrefillResult full = run("full", {}, prompt_of(kTokens));
  PrefillResult unsure = run_heads({{"look_ahead", "4"}, {"min_confidence", "1"}});
  EXPECT_EQ(unsure.logits, full.logits);
  EXPECT_EQ(unsure.kept_tokens, kTokens);
  EXPECT_TRUE(unsure.selected.empty());
  EXPECT_FALSE(unsure.report.active);
  EXPECT_EQ(decode(unsure, {3, 1, 96}), decode(full, {3, 1, 96}));
}

CLAA_EVERY_PREFILL_DEVICE(Draft);

TEST(LookAhead, IsRefusedWhereNothingCanListen) {
  PromptInfo prompt;
  prompt.tokens = 100, prompt.layers = 6, prompt.heads = 4, prompt.kv_heads = 2;
  const MethodRegistry registry = builtin_methods();
  const auto start = [&](ParamValues params) -> std::string {
    params.insert({{"selection_layer", "4"}, {"look_ahead", "8"}});
    try {
      registry.create("claa", params)->start(prompt);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(start({{"heads", "2.3"}}), "");
  EXPECT_THAT(start({}), HasSubstr("look_ahead needs heads"));
  EXPECT_THAT(start({{"heads", "2.3"}, {"early_drops", "2:0.5"}}),
              HasSubstr("look_ahead 8 needs layers that hold the whole prompt, early_drops '2:0.5'"));
  EXPECT_THAT(start({{"heads", "2.3"}, {"look_ahead", "65"}}), HasSubstr("look_ahead"));
}

}  // namespace
}  // namespace claa
