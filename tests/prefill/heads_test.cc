// claa with chosen heads: the ranking against a naive computation, the caches that it decides, and refusals.
#include "claa/heads.h"

#include <algorithm>
#include <numeric>

#include "core/usize.h"
#include "prefill/prefill_support.h"
#include "prefill/test_methods.h"

namespace claa {
namespace {

using test::prompt_of;
using testing::HasSubstr;

constexpr int64_t kTokens = 83, kWindow = 8, kKernel = 5, kBudget = 16;

class ChosenHeads : public test::PrefillTest {
 protected:
  // Window attention of every query head of the layers up to `last`, unpooled: [layer][head][token].
  std::vector<std::vector<std::vector<float>>> attention(const std::vector<int32_t>& ids, int last) {
    std::vector<std::vector<std::vector<float>>> all;
    const test::Script script = test::preview_script(last, [&](LayerView& view) {
      ScoreSpec spec;
      spec.window = kWindow;
      spec.pool = PoolKind::kNone;
      spec.group = spec.heads = Reduce::kKeep;
      const Scores scores = view.scores(spec);
      const std::vector<float> values = scores.to_host();
      all.emplace_back();
      for (int64_t h = 0; h < scores.rows(); ++h)
        all.back().emplace_back(values.begin() + h * scores.tokens(),
                                values.begin() + (h + 1) * scores.tokens());
    });
    run(test::TestMethod(script), ids);
    return all;
  }

  // The definition in plain loops: pool, divide by the sum, weight, add.
  static std::vector<double> naive(const std::vector<std::vector<std::vector<float>>>& attention,
                                   const std::vector<LayerHead>& heads) {
    const auto tokens = static_cast<int64_t>(attention[0][0].size());
    std::vector<double> total(usize(tokens), 0.0);
    for (const LayerHead& h : heads) {
      const std::vector<float>& row = attention[usize(h.layer)][usize(h.head)];
      std::vector<double> pooled(row.size(), 0.0);
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t i = std::max<int64_t>(0, t - kKernel / 2); i <= std::min(tokens - 1, t + kKernel / 2);
             ++i)
          pooled[usize(t)] += static_cast<double>(row[usize(i)]) / kKernel;
      }
      const double sum = std::accumulate(pooled.begin(), pooled.end(), 0.0);
      for (size_t t = 0; t < pooled.size(); ++t) total[t] += static_cast<double>(h.weight) * pooled[t] / sum;
    }
    return total;
  }

  PrefillResult run_heads(ParamValues params) {
    params.insert({{"heads", "0.1*0.5,2.3*2,2.0"},
                   {"keep_tokens", std::to_string(kBudget)},
                   {"kernel", std::to_string(kKernel)},
                   {"selection_layer", "3"}});
    return run("claa", params, prompt_of(kTokens));
  }
  static std::vector<int64_t> lengths(const PrefillResult& result) {
    std::vector<int64_t> all;
    for (int64_t layer = 0; layer < result.cache->layers(); ++layer)
      all.push_back(result.cache->length(layer));
    return all;
  }
};

TEST_P(ChosenHeads, RankAsANaiveComputation) {
  const std::vector<LayerHead> heads = {{0, 1, 0.5f}, {2, 0, 1}, {2, 3, 2}};
  const std::vector<double> expected = naive(attention(prompt_of(kTokens), 2), heads);
  PrefillResult result = run_heads({{"first_layer", "6"}});
  ASSERT_EQ(result.report.scores.size(), expected.size());
  for (size_t t = 0; t < expected.size(); ++t) EXPECT_NEAR(result.report.scores[t], expected[t], 2e-5) << t;

  std::vector<int32_t> best = best_indices(result.report.scores, kBudget - kWindow);
  for (int64_t t = kTokens - kWindow; t < kTokens; ++t) best.push_back(static_cast<int32_t>(t));
  EXPECT_EQ(result.selected, best);
  EXPECT_EQ(result.report.selection_layer, 3);
}

// Layers below first_layer keep all; the others up to the selection layer hold what was selected, with the
// very rows that a full prefill stores.
TEST_P(ChosenHeads, DecideTheCachesFromFirstLayerOn) {
  PrefillResult full = run("full", {}, prompt_of(kTokens));
  for (const int first : {0, 2, 4, 6}) {
    PrefillResult result = run_heads({{"first_layer", std::to_string(first)}});
    std::vector<int64_t> expected(6, kBudget);
    for (int layer = 0; layer < std::min(first, 4); ++layer) expected[usize(layer)] = kTokens;
    EXPECT_EQ(lengths(result), expected) << first;
    for (int64_t layer = 0; layer < 4; ++layer) {
      if (layer < first) continue;
      const std::vector<std::vector<int32_t>> positions = result.cache->prompt_positions(layer);
      ASSERT_EQ(positions.size(), 1u);
      EXPECT_EQ(positions[0], result.selected);
      for (int64_t slot = 0; slot < kBudget; ++slot) {
        for (const int64_t head : {0, 1})
          EXPECT_EQ(cache_row(*result.cache, layer, head, slot),
                    cache_row(*full.cache, layer, head, result.selected[usize(slot)]));
      }
    }
    for (const auto& logits : decode(result, {3, 1, 96})) EXPECT_TRUE(std::isfinite(logits.front()));
  }
}

// A budget of the cache's own follows the same ranking, also beyond the selection layer.
TEST_P(ChosenHeads, SeparateBudgetOfTheCache) {
  PrefillResult result = run_heads({{"kv_keep_tokens", "11"}, {"first_layer", "1"}});
  EXPECT_EQ(lengths(result), (std::vector<int64_t>{83, 11, 11, 11, 11, 11}));
  for (int64_t layer = 2; layer < 6; ++layer)
    EXPECT_EQ(result.cache->prompt_positions(layer), result.cache->prompt_positions(1)) << layer;

  result = run_heads({{"keep_tokens", "83"}, {"kv_keep_tokens", "11"}, {"first_layer", "0"}});
  EXPECT_EQ(lengths(result), (std::vector<int64_t>(6, 11)));
  EXPECT_EQ(result.kept_tokens, 83);
  EXPECT_TRUE(result.report.active);
}

// The early drop keeps the best of its own heads' ranking; the selection layer chooses among those by all
// heads, whose scores of later layers see the tokens that are left. Layers up to the drop keep their whole
// cache.
TEST_P(ChosenHeads, DropEarlyByTheirOwnRanking) {
  constexpr int64_t kEarly = 41;  // floor(83 * 0.5)
  const std::vector<double> early = naive(attention(prompt_of(kTokens), 1), {{0, 2, 1}, {1, 3, 2}});
  std::vector<int32_t> alive = best_indices(std::vector<float>(early.begin(), early.end()), kEarly - kWindow);
  for (int64_t t = kTokens - kWindow; t < kTokens; ++t) alive.push_back(static_cast<int32_t>(t));

  PrefillResult result =
      run_heads({{"early_drops", "1:0.5"}, {"early_heads", "0.2,1.3*2"}, {"first_layer", "0"}});
  std::vector<int64_t> live;
  for (const LayerRecord& record : result.layers) live.push_back(record.live);
  EXPECT_EQ(live, (std::vector<int64_t>{83, 83, kEarly, kEarly, kBudget, kBudget}));
  EXPECT_EQ(lengths(result), (std::vector<int64_t>{83, 83, kBudget, kBudget, kBudget, kBudget}));
  EXPECT_TRUE(std::includes(alive.begin(), alive.end(), result.selected.begin(), result.selected.end()));
  EXPECT_EQ(result.cache->prompt_positions(2)[0], result.selected);
  EXPECT_EQ(result.cache->prompt_positions(5)[0], result.selected);
  EXPECT_EQ(result.report.selection_layer, 3);
  EXPECT_EQ(result.report.note, "41 tokens left after layer 1");

  // The report's ranking: those that were dropped early stand at 0, and the best of it are the selected.
  ASSERT_EQ(result.report.scores.size(), usize(kTokens - kWindow));
  for (size_t t = 0; t < result.report.scores.size(); ++t) {
    if (!std::binary_search(alive.begin(), alive.end(), static_cast<int32_t>(t))) {
      EXPECT_EQ(result.report.scores[t], 0) << t;
    }
  }
  std::vector<int32_t> best = best_indices(result.report.scores, kBudget - kWindow);
  for (int64_t t = kTokens - kWindow; t < kTokens; ++t) best.push_back(static_cast<int32_t>(t));
  EXPECT_EQ(result.selected, best);
  for (const auto& logits : decode(result, {3, 1, 96})) EXPECT_TRUE(std::isfinite(logits.front()));
}

// Without heads of their own, the chosen ones drop early: two steps by one head of layer 0 keep its best, and
// the final choice is that of one step.
TEST_P(ChosenHeads, DropInSeveralSteps) {
  const ParamValues one = {{"heads", "0.1"}, {"first_layer", "6"}};
  ParamValues steps = one;
  steps["early_drops"] = "0:0.7,2:0.4";
  const PrefillResult expected = run_heads(one), result = run_heads(steps);
  EXPECT_EQ(result.selected, expected.selected);
  std::vector<int64_t> live;
  for (const LayerRecord& record : result.layers) live.push_back(record.live);
  EXPECT_EQ(live, (std::vector<int64_t>{83, 58, 58, 33, kBudget, kBudget}));
  EXPECT_EQ(result.report.note, "58 tokens left after layer 0, 33 tokens left after layer 2");
}

// When the early drop leaves the window alone, nothing can be ranked after it.
TEST_P(ChosenHeads, DropEarlyDownToTheWindow) {
  for (const char* drops : {"0:0.05", "0:0.05,1:0.01"}) {
    PrefillResult result = run_heads({{"early_drops", drops}, {"keep_tokens", "8"}, {"first_layer", "0"}});
    EXPECT_EQ(result.layers[1].live, kWindow);
    EXPECT_EQ(result.kept_tokens, kWindow);
    EXPECT_EQ(lengths(result)[3], kWindow);
    EXPECT_TRUE(result.report.active);
    for (const auto& logits : decode(result, {3, 1})) EXPECT_TRUE(std::isfinite(logits.front()));
  }
}

// An early drop below the budget keeps the budget; one rate 1 run is whole.
TEST_P(ChosenHeads, DropEarlyNeverBelowTheBudget) {
  PrefillResult result = run_heads({{"early_drops", "0:0.1"}});
  EXPECT_EQ(result.layers[1].live, kBudget);
  EXPECT_EQ(result.kept_tokens, kBudget);
  result = run_heads({{"early_drops", "0:0.1"}, {"keep_tokens", "83"}});
  EXPECT_EQ(result.kept_tokens, kTokens);
  EXPECT_FALSE(result.report.active);
}

// The signals, from their definition, are there where a least confidence is asked for.
TEST_P(ChosenHeads, MeasureHowFarTheyAgree) {
  const auto all = attention(prompt_of(kTokens), 2);
  std::vector<std::vector<double>> rows;
  for (const LayerHead& h : {LayerHead{0, 1, 0.5f}, LayerHead{2, 0, 1}, LayerHead{2, 3, 2}})
    rows.push_back(naive(all, {h}));
  const PrefillResult result = run_heads({{"first_layer", "6"}, {"min_confidence", "1e-9"}});
  const std::vector<int32_t> chosen = best_indices(result.report.scores, kBudget - kWindow);
  constexpr int64_t kTwentieth = (kTokens - kWindow) / 20;
  const std::vector<int32_t> top = best_indices(result.report.scores, kTwentieth);
  double agreement = 0, inside = 0;
  for (const std::vector<double>& row : rows) {
    for (const int32_t t : best_indices(std::vector<float>(row.begin(), row.end()), kTwentieth))
      agreement += std::binary_search(top.begin(), top.end(), t) ? 1.0 / 3 / kTwentieth : 0;
    for (const int32_t t : chosen) inside += row[usize(t)] / 3.5;
  }
  ASSERT_TRUE(result.report.signals.has_value());
  EXPECT_NEAR(result.report.signals->agreement, agreement, 1e-9);
  EXPECT_NEAR(result.report.signals->outside, 1 - inside, 1e-4);
  EXPECT_GT(result.report.signals->entropy, 0);
  EXPECT_LT(result.report.signals->entropy, 1);
  EXPECT_EQ(result.report.note, "");
  EXPECT_FALSE(run_heads({{"first_layer", "6"}}).report.signals.has_value());
  EXPECT_FALSE(run("claa", {}, prompt_of(kTokens)).report.signals.has_value());
}

// Below min_confidence nothing is dropped: bit for bit what `full` computes, and it is said.
TEST_P(ChosenHeads, FallBackToFullWhereUnsure) {
  PrefillResult full = run("full", {}, prompt_of(kTokens));
  for (const char* first : {"0", "6"}) {
    PrefillResult result = run_heads({{"first_layer", first}, {"min_confidence", "1"}});
    EXPECT_EQ(result.logits, full.logits) << first;
    EXPECT_EQ(lengths(result), (std::vector<int64_t>(6, kTokens)));
    EXPECT_EQ(decode(result, {3, 1, 96}), decode(full, {3, 1, 96}));
    full = run("full", {}, prompt_of(kTokens));
    EXPECT_EQ(result.kept_tokens, kTokens);
    EXPECT_FALSE(result.report.active);
    EXPECT_THAT(result.report.reason, HasSubstr("below min_confidence 1: 83 tokens kept"));
  }
}

TEST_P(ChosenHeads, KeepMoreWhereUnsure) {
  const PrefillResult wanted = run_heads({{"keep_tokens", "41"}, {"first_layer", "0"}});
  const ParamValues unsure = {{"min_confidence", "1"}, {"unsure_keep", "0.5"}, {"first_layer", "0"}};
  PrefillResult result = run_heads(unsure);
  EXPECT_EQ(result.selected, wanted.selected);
  EXPECT_EQ(result.logits, wanted.logits);
  EXPECT_EQ(lengths(result), (std::vector<int64_t>(6, 41)));
  EXPECT_TRUE(result.report.active);
  EXPECT_THAT(result.report.note, HasSubstr("below min_confidence 1: 41 tokens kept"));

  // A rate below the budget takes nothing away, and neither does a ranking that is sure enough.
  const PrefillResult plain = run_heads({{"first_layer", "0"}});
  ParamValues less = unsure, sure = unsure;
  less["unsure_keep"] = "0.05";
  sure["min_confidence"] = "0.0001";
  for (const ParamValues& params : {less, sure}) EXPECT_EQ(run_heads(params).logits, plain.logits);
  EXPECT_EQ(run_heads(sure).report.note, "");
}

// As many tokens as have the mass, never fewer than the floor nor more than the budget, for live tokens and
// caches alike.
TEST_P(ChosenHeads, KeepAsManyAsHaveTheMass) {
  std::vector<float> scores = run_heads({{"first_layer", "0"}}).report.scores;
  std::sort(scores.begin(), scores.end(), std::greater<>());
  const double total = std::accumulate(scores.begin(), scores.end(), 0.0);
  int64_t wanted = 0;
  for (double sum = 0; sum < 0.4 * total; ++wanted) sum += static_cast<double>(scores[usize(wanted)]);
  const auto with = [&](const char* keep, const char* floor) {
    return run_heads({{"mass", "0.4"}, {"first_layer", "0"}, {"keep_tokens", keep}, {"mass_floor", floor}});
  };
  PrefillResult result = with("82", "0.0001");
  EXPECT_GT(wanted, 3);
  EXPECT_EQ(result.kept_tokens, wanted + kWindow);
  EXPECT_EQ(lengths(result), (std::vector<int64_t>(6, wanted + kWindow)));
  const PrefillResult fixed =
      run_heads({{"keep_tokens", std::to_string(wanted + kWindow)}, {"first_layer", "0"}});
  EXPECT_EQ(result.selected, fixed.selected);
  EXPECT_EQ(result.logits, fixed.logits);
  EXPECT_EQ(with("10", "0.0001").kept_tokens, 10);
  EXPECT_EQ(with("82", "0.9").kept_tokens, 74);
  EXPECT_EQ(with("83", "0.0001").kept_tokens, kTokens);  // nothing may be dropped
}

// Tokens that an early drop took cannot return; all that are left live on.
TEST_P(ChosenHeads, KeepWhatAnEarlyDropLeftWhereUnsure) {
  PrefillResult result = run_heads({{"early_drops", "1:0.5"},
                                    {"early_heads", "0.2,1.3*2"},
                                    {"first_layer", "0"},
                                    {"min_confidence", "1"}});
  EXPECT_EQ(lengths(result), (std::vector<int64_t>{83, 83, 41, 41, 41, 41}));
  EXPECT_EQ(result.kept_tokens, 41);
  EXPECT_TRUE(result.report.active);
  EXPECT_THAT(result.report.note, HasSubstr("41 tokens kept"));
  for (const auto& logits : decode(result, {3, 1})) EXPECT_TRUE(std::isfinite(logits.front()));
}

CLAA_EVERY_PREFILL_DEVICE(ChosenHeads);

std::string refusal(const std::function<void()>& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

TEST(Heads, ReadBackWhatTheyShow) {
  const std::vector<LayerHead> heads = {{0, 3, 1}, {2, 0, 0.1f}, {2, 11, 2.5f}, {17, 1, 1e-7f}};
  EXPECT_EQ(show_heads(heads), "0.3,2.0*0.1,2.11*2.5,17.1*1e-07");
  EXPECT_EQ(parse_heads("claa", show_heads(heads)), heads);
  EXPECT_EQ(parse_heads("claa", "2.1*3,0.4"), (std::vector<LayerHead>{{0, 4, 1}, {2, 1, 3}}));
  EXPECT_TRUE(parse_heads("claa", "").empty());
}

TEST(Heads, AreRefusedWhenMalformed) {
  const MethodRegistry registry = builtin_methods();
  for (const char* bad : {"1", "1.", ".1", "1.2*", "1.2*x", "1.2,", ",1.2", "1.2 ", " 1.2", "-1.2", "1.-2",
                          "1.2*3*4", "1;2", "99999999999.1"}) {
    EXPECT_THAT(refusal([&] {
                  registry.create("claa", {{"heads", bad}});
                }),
                HasSubstr("LAYER.HEAD*WEIGHT"))
        << bad;
  }
  for (const char* bad : {"1.2*0", "1.2*-1", "1.2*nan", "1.2*inf"}) {
    EXPECT_THAT(refusal([&] {
                  registry.create("claa", {{"heads", bad}});
                }),
                HasSubstr("positive number"))
        << bad;
  }
  EXPECT_THAT(refusal([&] {
                registry.create("claa", {{"heads", "1.2,0.1,1.2*2"}});
              }),
              HasSubstr("1.2 is listed twice"));
}

TEST(EarlyDrops, AreReadAndRefused) {
  EXPECT_EQ(parse_early_drops("claa", "3:0.5,7:0.25"), (std::vector<EarlyDrop>{{3, 0.5}, {7, 0.25}}));
  EXPECT_TRUE(parse_early_drops("claa", "").empty());
  const MethodRegistry registry = builtin_methods();
  const auto create = [&](const char* drops) {
    return refusal([&] { registry.create("claa", {{"heads", "2.1"}, {"early_drops", drops}}); });
  };
  for (const char* bad : {"3", "3:", ":0.5", "3:0", "3:1", "3:1.5", "3:nan", "3:-0.5", "-1:0.5", "3:0.5,",
                          "3:0.5 ", "3:x", "3;0.5", "99999999999:0.5"})
    EXPECT_THAT(create(bad), HasSubstr("LAYER:RATE")) << bad;
  for (const char* bad : {"3:0.5,3:0.4", "3:0.5,2:0.4", "3:0.5,4:0.5", "3:0.5,4:0.6"})
    EXPECT_THAT(create(bad), HasSubstr("rising layers and falling rates")) << bad;
}

TEST(EarlyDrops, AreRefusedWhereNothingCanChoose) {
  PromptInfo prompt;
  prompt.tokens = 100, prompt.layers = 6, prompt.heads = 4, prompt.kv_heads = 2;
  const MethodRegistry registry = builtin_methods();
  const auto start = [&](ParamValues params) {
    params.insert({{"selection_layer", "4"}, {"heads", "2.3"}});
    return refusal([&] { registry.create("claa", params)->start(prompt); });
  };
  EXPECT_EQ(start({{"early_drops", "2:0.5"}}), "");
  EXPECT_EQ(start({{"early_drops", "1:0.5"}, {"early_heads", "0.1"}}), "");
  EXPECT_THAT(start({{"early_drops", "1:0.5"}}), HasSubstr("first chosen head's layer 2"));
  EXPECT_THAT(start({{"early_drops", "4:0.5"}}), HasSubstr("before the selection layer 4"));
  EXPECT_THAT(start({{"early_drops", "2:0.5"}, {"heads", ""}}), HasSubstr("needs heads"));
  EXPECT_THAT(start({{"early_drops", "2:0.5"}, {"early_heads", "0.7"}}), HasSubstr("no head 0.7"));
}

TEST(Heads, AreNeededToMeasureARanking) {
  PromptInfo prompt;
  prompt.tokens = 100, prompt.layers = 6, prompt.heads = 4, prompt.kv_heads = 2;
  const MethodRegistry registry = builtin_methods();
  for (const char* name : {"min_confidence", "mass"}) {
    EXPECT_THAT(refusal([&] {
                  registry.create("claa", {{name, "0.5"}})->start(prompt);
                }),
                HasSubstr(std::string(name) + " needs heads"));
  }
}

TEST(Heads, AreRefusedWhenTheModelLacksThem) {
  PromptInfo prompt;
  prompt.tokens = 100, prompt.layers = 6, prompt.heads = 4, prompt.kv_heads = 2;
  const MethodRegistry registry = builtin_methods();
  const auto start = [&](const char* heads) {
    return refusal([&] { registry.create("claa", {{"heads", heads}})->start(prompt); });
  };
  EXPECT_EQ(start("2.3"), "");
  EXPECT_THAT(start("0.4"), HasSubstr("no head 0.4 in a model of 6 layers with 4 query heads"));
  EXPECT_THAT(start("6.0"), HasSubstr("no head 6.0"));
  EXPECT_THAT(start("3.0"), HasSubstr("after the selection layer 2"));
}

}  // namespace
}  // namespace claa
