// gemfilter, specprefill, uniform, streaming and oracle, beyond the promises of all methods: which tokens,
// which positions.
#include <algorithm>
#include <numeric>

#include "claa/ranking.h"
#include "core/usize.h"
#include "prefill/look_ahead.h"
#include "prefill/prefill_support.h"

namespace claa {
namespace {

using test::prompt_of;

class EntryMethods : public test::PrefillTest {};

TEST_P(EntryMethods, BudgetsAreExact) {
  for (const int64_t tokens : {1, 8, 9, 40, 83}) {
    for (const char* keep : {"0.1", "0.5", "0.99"}) {
      const int64_t budget = Budget{std::stod(keep), 0}.of(tokens, 8);
      for (const char* name : {"gemfilter", "specprefill", "uniform"}) {
        EXPECT_EQ(run(name, {{"keep", keep}}, prompt_of(tokens)).kept_tokens, budget)
            << name << " " << keep << " of " << tokens;
      }
      for (const char* name : {"streaming", "oracle"}) {
        EXPECT_EQ(run(name, {{"keep", keep}}, prompt_of(tokens)).cache->length(0), budget)
            << name << " " << keep << " of " << tokens;
      }
    }
  }
}

TEST_P(EntryMethods, GemFilterStartsAnew) {
  const std::vector<int32_t> ids = prompt_of(83);
  PrefillResult result = run("gemfilter", {{"keep", "0.3"}, {"selection_layer", "2"}}, ids);
  ASSERT_EQ(result.selected.size(), 24u);
  EXPECT_EQ(result.report.scores.size(), 83u);
  EXPECT_EQ(result.selected, best_indices(result.report.scores, 24));
  EXPECT_EQ(result.cache->next_position, 24);
  std::vector<int32_t> chosen;
  for (const int32_t i : result.selected) chosen.push_back(ids[usize(i)]);
  PrefillResult alone = run("full", {}, chosen);
  EXPECT_EQ(result.logits, alone.logits) << "the chosen tokens are a prompt of their own";
}

TEST_P(EntryMethods, SpecPrefillKeepsPositions) {
  const std::vector<int32_t> ids = prompt_of(83);
  PrefillResult result = run("specprefill", {{"keep", "0.3"}, {"steps", "3"}}, ids);
  LookAheadSpec spec;
  spec.steps = 3;
  EXPECT_EQ(result.report.scores, test::look_ahead(tiny.model, ids, spec, {}));
  EXPECT_EQ(result.selected, best_indices(result.report.scores, 24));
  EXPECT_EQ(result.cache->prompt_positions(0).front(), result.selected) << "original positions";
  EXPECT_EQ(result.cache->next_position, result.selected.back() + 1);
  EXPECT_EQ(run("specprefill", {{"keep", "0.3"}, {"continue_after", "prompt"}}, ids).cache->next_position,
            83);
}

TEST_P(EntryMethods, SpecPrefillForcesTheTail) {
  PrefillResult result = run("specprefill", {{"keep", "0.3"}, {"forced_tail", "10"}}, prompt_of(83));
  ASSERT_EQ(result.selected.size(), 24u);
  for (int32_t i = 73; i < 83; ++i) EXPECT_EQ(result.selected[usize(i - 73 + 14)], i);
  EXPECT_EQ(run("specprefill", {{"keep", "0.1"}, {"forced_tail", "4096"}}, prompt_of(83)).selected.front(),
            75);
}

// Whole chunks; the partial last one is judged by the tokens it has.
TEST_P(EntryMethods, SpecPrefillChunks) {
  const std::vector<int32_t> ids = prompt_of(83);
  PrefillResult result = run("specprefill", {{"keep", "0.4"}, {"chunk", "10"}}, ids);
  const std::vector<float>& scores = result.report.scores;
  std::vector<float> means;
  for (size_t begin = 0; begin < 83; begin += 10) {
    const size_t end = std::min<size_t>(begin + 10, 83);
    means.push_back(std::accumulate(scores.begin() + static_cast<long>(begin),
                                    scores.begin() + static_cast<long>(end), 0.0f) /
                    static_cast<float>(end - begin));
  }
  std::vector<int32_t> expected;
  for (const int32_t chunk : best_indices(means, 4)) {  // ceil(9 * 33 / 83)
    for (int32_t i = chunk * 10; i < std::min(chunk * 10 + 10, 83); ++i) expected.push_back(i);
  }
  if (expected.size() > 33) {
    std::vector<float> values;
    for (const int32_t i : expected) values.push_back(scores[usize(i)]);
    std::vector<int32_t> best;
    for (const int32_t i : best_indices(values, 33)) best.push_back(expected[usize(i)]);
    expected = best;
  }
  EXPECT_EQ(result.selected, expected);
}

TEST_P(EntryMethods, UniformKeepsEndsAndNestsItsSamples) {
  const std::vector<int32_t> ids = prompt_of(83);
  const auto chosen = [&](const char* keep, const char* seed) {
    return run("uniform", {{"keep", keep}, {"first", "5"}, {"last", "7"}, {"seed", seed}}, ids).selected;
  };
  const std::vector<int32_t> small = chosen("0.3", "1"), large = chosen("0.6", "1");
  EXPECT_TRUE(std::includes(large.begin(), large.end(), small.begin(), small.end()));
  EXPECT_NE(small, chosen("0.3", "2"));
  for (int32_t i = 0; i < 5; ++i) EXPECT_EQ(small[usize(i)], i);
  for (int32_t i = 76; i < 83; ++i) EXPECT_EQ(small[small.size() - usize(83 - i)], i);
}

TEST_P(EntryMethods, StreamingKeepsSinksAndRecent) {
  PrefillResult result = run("streaming", {{"keep", "0.2"}, {"sinks", "3"}}, prompt_of(83));
  const std::vector<int32_t> expected = {0, 1, 2, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82};
  for (int64_t layer = 0; layer < 6; ++layer)
    EXPECT_EQ(result.cache->prompt_positions(layer).front(), expected);
  EXPECT_EQ(result.kept_tokens, 83) << "all tokens are computed";
  EXPECT_EQ(result.logits, run("full", {}, prompt_of(83)).logits) << "only what decode sees is dropped";
}

TEST_P(EntryMethods, OracleDropsByItsRankingEverywhere) {
  const std::vector<int32_t> ids = prompt_of(83);
  PrefillResult result = run("oracle", {{"keep", "0.3"}, {"answer_tokens", "4"}, {"kernel", "5"}}, ids);
  LookAheadSpec spec;
  spec.steps = 3;
  spec.kernel = 5;
  spec.pool_first = false;
  std::vector<float> ranking = test::look_ahead(tiny.model, ids, spec, {});
  ranking.resize(75);
  std::vector<int32_t> expected = best_indices(ranking, 16);
  for (int32_t i = 75; i < 83; ++i) expected.push_back(i);
  EXPECT_EQ(result.report.scores, ranking);
  EXPECT_EQ(result.selected, expected);
  for (int64_t layer = 0; layer < 6; ++layer)
    EXPECT_EQ(result.cache->prompt_positions(layer).front(), expected);
}

TEST_P(EntryMethods, OracleReadsAFileForThisPromptAndModelOnly) {
  const std::vector<int32_t> ids = prompt_of(83);
  const std::string path = testing::TempDir() + "oracle_" + test::options_name(GetParam()) + ".rank";
  Ranking ranking{42, ids, {}};
  for (size_t i = 0; i < ids.size(); ++i) ranking.scores.push_back(static_cast<float>((i * 37) % 83));
  write_ranking(path, ranking);
  const auto method = registry.create("oracle", {{"keep", "0.2"}, {"ranking", path}});
  PrefillOptions options;
  options.model_fingerprint = 42;
  PrefillResult result = run(*method, ids, options);
  std::vector<float> before(ranking.scores.begin(), ranking.scores.begin() + 75);
  std::vector<int32_t> expected = best_indices(before, 8);
  for (int32_t i = 75; i < 83; ++i) expected.push_back(i);
  EXPECT_EQ(result.selected, expected);

  const auto message = [&](const std::vector<int32_t>& prompt) -> std::string {
    try {
      run(*method, prompt, options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "accepted";
  };
  std::vector<int32_t> other = ids;
  other[40] = (other[40] + 1) % 97;
  EXPECT_THAT(message(other), testing::HasSubstr("differ at token 40"));
  other.pop_back();
  EXPECT_THAT(message(other), testing::HasSubstr("83 tokens, this one 82"));
  options.model_fingerprint = 43;
  EXPECT_THAT(message(ids), testing::HasSubstr("another model"));
}

CLAA_EVERY_PREFILL_DEVICE(EntryMethods);

}  // namespace
}  // namespace claa
