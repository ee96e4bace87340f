// Budgets, schedules and rankings of the methods, in numbers.
#include <algorithm>
#include <numeric>

#include "claa/ranker.h"
#include "core/usize.h"
#include "prefill/prefill_support.h"
#include "prefill/test_methods.h"

namespace claa {
namespace {

using test::prompt_of;

class Selection : public test::PrefillTest {
 protected:
  std::vector<int64_t> lengths(const PrefillResult& result) const {
    std::vector<int64_t> all;
    for (int64_t layer = 0; layer < result.cache->layers(); ++layer)
      all.push_back(result.cache->length(layer));
    return all;
  }
  std::vector<int64_t> lives(const PrefillResult& result) const {
    std::vector<int64_t> all;
    for (const LayerRecord& layer : result.layers) all.push_back(layer.live);
    return all;
  }
  // Scores of one layer of the whole prompt, as the methods see them.
  std::vector<std::vector<float>> layer_scores(const std::vector<int32_t>& ids, int layer,
                                               const ScoreSpec& spec) {
    std::vector<std::vector<float>> rows;
    const test::Script script = test::preview_script(layer, [&](LayerView& view) {
      if (view.layer() != layer) return;
      const Scores scores = view.scores(spec);
      const std::vector<float> values = scores.to_host();
      for (int64_t r = 0; r < scores.rows(); ++r)
        rows.emplace_back(values.begin() + r * scores.tokens(), values.begin() + (r + 1) * scores.tokens());
    });
    run(test::TestMethod(script), ids);
    return rows;
  }
};

// The best `count` by (score desc, index asc) plus the window, ascending.
std::vector<int32_t> best_of(const std::vector<float>& scores, int64_t count, int64_t window) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return scores[usize(a)] > scores[usize(b)]; });
  order.resize(usize(count));
  std::sort(order.begin(), order.end());
  for (int64_t w = 0; w < window; ++w)
    order.push_back(static_cast<int32_t>(scores.size()) + static_cast<int32_t>(w));
  return order;
}

// spec.md 2.5: layers below m hold all, up to the selection layer the budget, beyond it all that live.
TEST_P(Selection, CacheLengthsOfClaa) {
  PrefillResult result = run("claa", {{"keep", "0.2"}, {"first_layer", "1"}}, prompt_of(83));
  EXPECT_EQ(lengths(result), (std::vector<int64_t>{83, 16, 16, 16, 16, 16}));
  EXPECT_EQ(lives(result), (std::vector<int64_t>{83, 83, 83, 16, 16, 16}));
  EXPECT_EQ(result.report.selection_layer, 2);
  EXPECT_EQ(result.kept_tokens, 16);
  EXPECT_EQ(result.cache->next_position, 83);
  EXPECT_EQ(result.report.scores.size(), 75u);

  result = run("claa", {{"keep", "0.2"}, {"first_layer", "4"}}, prompt_of(83));
  EXPECT_EQ(lengths(result), (std::vector<int64_t>{83, 83, 83, 16, 16, 16}));
}

TEST_P(Selection, SeparateBudgetOfTheCache) {
  // A smaller budget than the live one: layers beyond the selection layer score again among the live tokens.
  PrefillResult result =
      run("claa", {{"keep", "0.5"}, {"kv_keep", "0.2"}, {"first_layer", "0"}, {"selection_layer", "1"}},
          prompt_of(83));
  EXPECT_EQ(lengths(result), (std::vector<int64_t>{16, 16, 16, 16, 16, 16}));
  EXPECT_EQ(lives(result), (std::vector<int64_t>{83, 83, 41, 41, 41, 41}));
  // A larger one: beyond the selection layer every live token is stored.
  result =
      run("fastkv", {{"keep", "0.2"}, {"kv_keep_tokens", "30"}, {"selection_layer", "3"}}, prompt_of(83));
  EXPECT_EQ(lengths(result), (std::vector<int64_t>{30, 30, 30, 30, 16, 16}));
  EXPECT_EQ(lives(result), (std::vector<int64_t>{83, 83, 83, 83, 16, 16}));
  // Only the cache has a budget: every token lives.
  result = run("fastkv", {{"keep", "1"}, {"kv_keep", "0.2"}}, prompt_of(83));
  EXPECT_EQ(lengths(result), std::vector<int64_t>(6, 16));
  EXPECT_EQ(lives(result), std::vector<int64_t>(6, 83));
  EXPECT_TRUE(result.report.active);
  EXPECT_FALSE(result.report.selection_layer.has_value());
}

TEST_P(Selection, SnapKvComputesAllAndKeepsPerHead) {
  const std::vector<int32_t> ids = prompt_of(83);
  PrefillResult result = run("snapkv", {{"keep_tokens", "20"}, {"window", "5"}, {"first_layer", "2"}}, ids);
  EXPECT_EQ(lengths(result), (std::vector<int64_t>{83, 83, 20, 20, 20, 20}));
  EXPECT_EQ(lives(result), std::vector<int64_t>(6, 83));
  EXPECT_TRUE(result.selected.empty());
  ScoreSpec spec;
  spec.window = 5;
  for (int layer = 2; layer < 6; ++layer) {
    const auto rows = layer_scores(ids, layer, spec);
    ASSERT_EQ(rows.size(), 2u);
    const auto kept = result.cache->prompt_positions(layer);
    ASSERT_EQ(kept.size(), 2u);
    for (size_t head = 0; head < 2; ++head)
      EXPECT_EQ(kept[head], best_of(rows[head], 15, 5)) << "layer " << layer;
  }
  EXPECT_NE(result.cache->prompt_positions(3)[0], result.cache->prompt_positions(3)[1]);
}

TEST_P(Selection, FastKvSumsTheHeadsOfOneLayer) {
  const std::vector<int32_t> ids = prompt_of(83);
  PrefillResult result = run("fastkv", {{"keep", "0.25"}, {"selection_layer", "3"}}, ids);
  const auto rows = layer_scores(ids, 3, {});
  std::vector<float> sum(75);
  for (size_t t = 0; t < 75; ++t) sum[t] = rows[0][t] + rows[1][t];
  EXPECT_EQ(result.selected, best_of(sum, 12, 8));
  EXPECT_EQ(result.report.scores, sum);
}

TEST_P(Selection, ClaaTakesTheMaximumOverLayersAndHeads) {
  const std::vector<int32_t> ids = prompt_of(83);
  for (const int64_t history : {0, 1, 2, 4, 100}) {
    PrefillResult result = run(
        "claa", {{"keep", "0.25"}, {"selection_layer", "4"}, {"last_layers", std::to_string(history)}}, ids);
    std::vector<float> best(75, 0.0f);
    const int first = history == 0 ? 0 : std::max<int>(0, 5 - static_cast<int>(history));
    for (int layer = first; layer <= 4; ++layer) {
      for (const auto& row : layer_scores(ids, layer, {})) {
        for (size_t t = 0; t < 75; ++t) best[t] = std::max(best[t], row[t]);
      }
    }
    EXPECT_EQ(result.selected, best_of(best, 12, 8)) << "last_layers " << history;
  }
}

TEST_P(Selection, AggregatorsDiffer) {
  const std::vector<int32_t> ids = prompt_of(83);
  std::vector<std::vector<float>> scores;
  for (const char* aggregator : {"raw_max", "zscore_max", "rank_sum", "sum", "sum_single"}) {
    PrefillResult result =
        run("claa", {{"keep", "0.25"}, {"selection_layer", "4"}, {"aggregator", aggregator}}, ids);
    EXPECT_EQ(result.selected.size(), 20u) << aggregator;
    EXPECT_EQ(result.selected.back(), 82) << aggregator;
    scores.push_back(result.report.scores);
    EXPECT_EQ(result.selected, best_of(scores.back(), 12, 8)) << aggregator;
    for (size_t i = 0; i + 1 < scores.size(); ++i) EXPECT_NE(scores[i], scores.back()) << aggregator;
  }
  // sum_single over any history is what fastkv does.
  EXPECT_EQ(scores.back(), run("fastkv", {{"keep", "0.25"}, {"selection_layer", "4"}}, ids).report.scores);
}

TEST_P(Selection, PoolingAndKernelReachTheScores) {
  const std::vector<int32_t> ids = prompt_of(83);
  std::vector<std::vector<float>> scores;
  for (const ParamValues& extra :
       {ParamValues{}, {{"pooling", "max"}}, {{"pooling", "none"}}, {{"kernel", "13"}}}) {
    ParamValues params = extra;
    params["keep"] = "0.25";
    scores.push_back(run("claa", params, ids).report.scores);
    for (size_t i = 0; i + 1 < scores.size(); ++i) EXPECT_NE(scores[i], scores.back());
  }
}

TEST_P(Selection, WindowIsAlwaysKept) {
  for (const int64_t window : {1, 3, 20}) {
    for (const char* name : {"claa", "fastkv", "snapkv"}) {
      PrefillResult result =
          run(name, {{"keep", "0.0001"}, {"window", std::to_string(window)}, {"first_layer", "0"}},
              prompt_of(61));
      std::vector<int32_t> tail(usize(window));
      std::iota(tail.begin(), tail.end(), static_cast<int32_t>(61 - window));
      for (int64_t layer = 0; layer < 6; ++layer) {
        for (const auto& kept : result.cache->prompt_positions(layer))
          EXPECT_EQ(kept, tail) << name << ' ' << layer;
      }
    }
  }
}

TEST_P(Selection, ShortPromptsSayWhyNothingHappened) {
  for (const char* name : {"claa", "fastkv", "snapkv"}) {
    for (const int64_t tokens : {1, 7, 8}) {
      PrefillResult result = run(name, {}, prompt_of(tokens));
      EXPECT_FALSE(result.report.active) << name;
      EXPECT_NE(result.report.reason.find("window of 8"), std::string::npos) << result.report.reason;
      EXPECT_EQ(result.logits, run("full", {}, prompt_of(tokens)).logits) << name;
    }
    PrefillResult result = run(name, {{"keep_tokens", "100"}}, prompt_of(83));
    EXPECT_FALSE(result.report.active) << name;
    EXPECT_NE(result.report.reason.find("budget"), std::string::npos) << result.report.reason;
    EXPECT_TRUE(run(name, {{"first_layer", "0"}}, prompt_of(9)).report.active) << name;
  }
}

// A first layer beyond the model keeps every cache whole: then snapkv drops nothing and must not claim that
// it did.
TEST_P(Selection, NothingDroppedIsNotActive) {
  PrefillResult result = run("snapkv", {{"keep", "0.2"}, {"first_layer", "6"}}, prompt_of(83));
  EXPECT_EQ(lengths(result), std::vector<int64_t>(6, 83));
  EXPECT_FALSE(result.report.active);
  EXPECT_FALSE(result.report.reason.empty());
  result = run("claa", {{"keep", "1"}, {"kv_keep", "0.2"}, {"first_layer", "6"}}, prompt_of(83));
  EXPECT_FALSE(result.report.active);
}

TEST_P(Selection, RefusesSelectionLayersThatSaveNothing) {
  for (const char* name : {"claa", "fastkv"}) {
    for (const char* layer : {"5", "6", "4096"}) {
      try {
        run(name, {{"selection_layer", layer}}, prompt_of(83));
        ADD_FAILURE() << name << " accepted layer " << layer;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
        EXPECT_NE(std::string(error.what()).find("6 layers"), std::string::npos) << error.what();
      }
    }
    EXPECT_EQ(run(name, {{"selection_layer", "0"}}, prompt_of(83)).report.selection_layer, 0);
    EXPECT_EQ(run(name, {{"selection_layer", "4"}}, prompt_of(83)).report.selection_layer, 4);
  }
}

CLAA_EVERY_PREFILL_DEVICE(Selection);

TEST(BudgetTest, RatesAndCounts) {
  EXPECT_EQ((Budget{0.29, 0}).of(100, 8), 28);  // 100 * .29 = 28.999... in double, as in the authors' code
  EXPECT_EQ((Budget{0.2, 0}).of(83, 8), 16);
  EXPECT_EQ((Budget{0.2, 0}).of(10, 8), 8);
  EXPECT_EQ((Budget{0.2, 0}).of(5, 8), 5);
  EXPECT_EQ((Budget{0.2, 30}).of(83, 8), 30);
  EXPECT_EQ((Budget{0.2, 300}).of(83, 8), 83);
  EXPECT_EQ((Budget{1, 0}).of(83, 8), 83);
}

TEST(SelectionLayer, DefaultIsAtHalfDepth) {
  const auto layer = [](int layers) {
    PromptInfo prompt;
    prompt.layers = layers;
    return SelectionParams{}.selection_layer_of(prompt);
  };
  EXPECT_EQ(layer(32), 15);
  EXPECT_EQ(layer(30), 14);
  EXPECT_EQ(layer(2), 0);
}

}  // namespace
}  // namespace claa
