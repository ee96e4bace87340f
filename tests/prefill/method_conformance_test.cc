// Promises that every registered method keeps, present and future.
#include <algorithm>
#include <cmath>
#include <set>

#include "core/usize.h"
#include "prefill/prefill_support.h"

namespace claa {
namespace {

using test::prompt_of;

const std::vector<int32_t> kTokens = {3, 1, 96, 0, 3};

class MethodConformance : public test::PrefillTest {
 protected:
  void check_sets(const std::string& name, PrefillResult& result, int64_t tokens);
  int64_t compare_rows(const std::string& name, PrefillResult& a, PrefillResult& b, int64_t tokens,
                       int32_t end);
};

TEST_P(MethodConformance, RateOneIsFullBitForBit) {
  for (const int64_t tokens : {2, 9, 61}) {
    const std::vector<int32_t> ids = prompt_of(tokens);
    PrefillResult full = run("full", {}, ids);
    const std::vector<std::vector<float>> continued = decode(full, kTokens);
    for (const std::string& name : selective()) {
      PrefillResult result = run(name, {{"keep", "1"}}, ids);
      EXPECT_EQ(result.logits, full.logits) << name;
      EXPECT_FALSE(result.report.active) << name;
      EXPECT_FALSE(result.report.reason.empty()) << name;
      EXPECT_EQ(result.kept_tokens, tokens) << name;
      EXPECT_EQ(decode(result, kTokens), continued) << name;
    }
  }
}

// Sets rise, stay inside the prompt and hold the last token; a kept entry belongs to a live token.
void MethodConformance::check_sets(const std::string& name, PrefillResult& result, int64_t tokens) {
  bool dropped = false;
  int64_t live = tokens;
  for (int64_t layer = 0; layer < result.cache->layers(); ++layer) {
    const std::string where = fmt::format("{}, {} tokens, layer {}", name, tokens, layer);
    EXPECT_LE(result.layers[usize(layer)].live, live) << where;
    live = result.layers[usize(layer)].live;
    dropped |= live < tokens || result.cache->length(layer) < tokens;
    for (const std::vector<int32_t>& positions : result.cache->prompt_positions(layer)) {
      EXPECT_EQ(static_cast<int64_t>(positions.size()), result.cache->length(layer)) << where;
      EXPECT_LE(static_cast<int64_t>(positions.size()), live) << where;
      EXPECT_EQ(std::adjacent_find(positions.begin(), positions.end(), std::greater_equal<>()),
                positions.end())
          << where << ": positions do not rise";
      EXPECT_GE(positions.front(), 0) << where;
      EXPECT_EQ(positions.back() + 1, result.cache->next_position) << where << ": the last token is not kept";
    }
  }
  EXPECT_EQ(result.report.active, dropped) << name << ", " << tokens << " tokens: nothing is silent";
  EXPECT_EQ(result.report.reason.empty(), dropped) << name << ": a reason exactly when nothing was dropped";
  EXPECT_EQ(result.kept_tokens, result.layers.back().live) << name;
  for (const float logit : result.logits) ASSERT_TRUE(std::isfinite(logit)) << name;
}

TEST_P(MethodConformance, SetsAreWellFormedAtEveryLengthAndRate) {
  // One token, around the window of 8, around the budget of 8 that small rates come to, and longer.
  for (const int64_t tokens : {1, 2, 7, 8, 9, 10, 40, 83}) {
    const std::vector<int32_t> ids = prompt_of(tokens);
    for (const MethodInfo& info : registry.all()) {
      for (const char* keep : {"0.0001", "0.1", "0.5", "0.999"}) {
        const ParamValues params = has(info, "keep") ? ParamValues{{"keep", keep}} : ParamValues{};
        PrefillResult result = run(info.name, params, ids);
        check_sets(info.name + " keep " + keep, result, tokens);
        for (const auto& logits : decode(result, kTokens)) EXPECT_TRUE(std::isfinite(logits.front()));
      }
    }
  }
}

// A budget one below, at and one above the prompt: the first drops exactly one token, the others none.
TEST_P(MethodConformance, BudgetsAroundThePrompt) {
  const int64_t tokens = 40;
  for (const std::string& name : selective()) {
    for (const int64_t budget : {39, 40, 41}) {
      PrefillResult result = run(name, {{"keep_tokens", std::to_string(budget)}}, prompt_of(tokens));
      const int64_t expected = std::min(budget, tokens);
      EXPECT_EQ(result.report.active, budget < tokens) << name << ", budget " << budget;
      EXPECT_EQ(result.cache->length(result.cache->layers() - 1), expected) << name << ", budget " << budget;
    }
  }
}

// Where a method promises a window, its tokens are live and kept everywhere.
TEST_P(MethodConformance, TheWindowIsKept) {
  const int64_t tokens = 83;
  for (const std::string& name : selective()) {
    const bool windowed = has(registry.find(name), "window");
    if (!windowed) continue;
    PrefillResult result = run(name, {{"keep", "0.2"}, {"window", "11"}}, prompt_of(tokens));
    for (int64_t layer = 0; layer < result.cache->layers(); ++layer) {
      for (const std::vector<int32_t>& kept : result.cache->prompt_positions(layer)) {
        ASSERT_GE(kept.size(), 11u);
        for (int64_t i = 0; i < 11; ++i) EXPECT_EQ(kept[kept.size() - 1 - usize(i)], tokens - 1 - i) << name;
      }
    }
  }
}

TEST_P(MethodConformance, RepeatedRunsAreEqual) {
  const std::vector<int32_t> ids = prompt_of(61);
  for (const std::string& name : selective()) {
    const auto method = registry.create(name, {{"keep", "0.3"}});
    PrefillResult first = run(*method, ids), second = run(*method, ids);
    expect_same(name, first, second);
  }
}

// At each chunk of one prompt, another one runs from start to end with the same Method object.
TEST_P(MethodConformance, InterleavedPromptsEqualLonePrompts) {
  const std::vector<int32_t> ids = prompt_of(61), other_ids = prompt_of(37, 6);
  for (const std::string& name : selective()) {
    const auto method = registry.create(name, {{"keep", "0.3"}});
    PrefillResult alone = run(*method, ids), other_alone = run(*method, other_ids);
    PrefillOptions options;
    int nested = 0;
    options.progress = [&](int64_t, int64_t, int64_t, int64_t) {
      PrefillResult other = run(*method, other_ids);
      expect_same(name + ", inner", other_alone, other);
      ++nested;
    };
    PrefillResult outer = run(*method, ids, options);
    expect_same(name + ", outer", alone, outer);
    EXPECT_GE(nested, 6) << name;
  }
}

// Compares the cache rows of both results before position `end` in the layers that the same tokens entered;
// returns their number.
int64_t MethodConformance::compare_rows(const std::string& name, PrefillResult& a, PrefillResult& b,
                                        int64_t tokens, int32_t end) {
  int64_t compared = 0;
  for (int64_t layer = 0; layer < a.cache->layers(); ++layer) {
    const auto at = usize(layer);
    const bool all_entered = a.layers[at].live == tokens && b.layers[at].live == tokens;
    if (!all_entered && a.selected != b.selected) break;
    const auto kept = a.cache->prompt_positions(layer), other = b.cache->prompt_positions(layer);
    for (size_t head = 0; head < 2; ++head) {
      const std::vector<int32_t>&mine = kept[kept.size() == 1 ? 0 : head],
            &theirs = other[other.size() == 1 ? 0 : head];
      for (size_t slot = 0; slot < mine.size() && mine[slot] < end; ++slot) {
        const auto found = std::lower_bound(theirs.begin(), theirs.end(), mine[slot]);
        if (found == theirs.end() || *found != mine[slot]) continue;
        const auto h = static_cast<int64_t>(head);
        EXPECT_EQ(cache_row(*a.cache, layer, h, static_cast<int64_t>(slot)),
                  cache_row(*b.cache, layer, h, found - theirs.begin()))
            << name << ", layer " << layer << ", position " << mine[slot];
        ++compared;
      }
    }
  }
  return compared;
}

TEST_P(MethodConformance, ALaterTokenNeverChangesAnEarlierRow) {
  constexpr int32_t kFirstChange = 70;
  std::vector<int32_t> ids = prompt_of(83), changed = ids;
  changed.back() = (changed.back() + 1) % 97;
  changed[kFirstChange] = (changed[kFirstChange] + 5) % 97;
  for (const MethodInfo& info : registry.all()) {
    const ParamValues params = has(info, "keep") ? ParamValues{{"keep", "0.3"}} : ParamValues{};
    PrefillResult a = run(info.name, params, ids), b = run(info.name, params, changed);
    const int64_t compared = compare_rows(info.name, a, b, 83, kFirstChange);
    // A pass of its own chooses the tokens of these, and another prompt is another choice.
    const bool chooses_again = info.name == "gemfilter" || info.name == "specprefill";
    EXPECT_TRUE(compared > 0 || chooses_again) << info.name << ": the test compares nothing";
    if (info.name == "full") {
      EXPECT_EQ(compared, 6 * 2 * kFirstChange);
      EXPECT_NE(cache_row(*a.cache, 5, 0, 82), cache_row(*b.cache, 5, 0, 82)) << "the change changes nothing";
    }
  }
}

TEST_P(MethodConformance, RefusesBadParametersByName) {
  const auto message = [&](const std::string& method, const ParamValues& params) -> std::string {
    try {
      registry.create(method, params);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    ADD_FAILURE() << method << " accepted";
    return "";
  };
  using testing::HasSubstr;
  for (const MethodInfo& info : registry.all()) {
    EXPECT_THAT(message(info.name, {{"kep", "0.2"}}),
                testing::AllOf(HasSubstr(info.name), HasSubstr("'kep'")));
    if (!has(info, "keep")) continue;
    for (const char* bad : {"0", "2", "-0.1", "nan", "inf", "", "0.2x", " 0.2", "0,2"}) {
      EXPECT_THAT(message(info.name, {{"keep", bad}}), testing::AllOf(HasSubstr("keep"), HasSubstr(bad)));
    }
    if (has(info, "window")) {
      EXPECT_THAT(message(info.name, {{"window", "0"}}), HasSubstr("window"));
    }
    if (has(info, "pooling")) {
      EXPECT_THAT(message(info.name, {{"pooling", "median"}}), HasSubstr("avg, max, none"));
    }
  }
  EXPECT_THAT(message("clara", {}), testing::AllOf(HasSubstr("'clara'"), HasSubstr("claa")));
}

TEST_P(MethodConformance, ShowsEffectiveParameters) {
  for (const MethodInfo& info : registry.all()) {
    EXPECT_FALSE(info.summary.empty() || info.paper.empty()) << info.name;
    const auto method = registry.create(info.name, {});
    EXPECT_EQ(method->name(), info.name);
    const auto shown = method->params();
    ASSERT_EQ(shown.size(), info.params.size());
    for (size_t i = 0; i < shown.size(); ++i) {
      EXPECT_EQ(shown[i].first, info.params[i].name);
      EXPECT_EQ(shown[i].second, info.params[i].default_value);
      EXPECT_FALSE(info.params[i].help.empty());
      // The parameters that a method shows are accepted again.
      EXPECT_NO_THROW(registry.create(info.name, {{shown[i].first, shown[i].second}}));
    }
  }
}

CLAA_EVERY_PREFILL_DEVICE(MethodConformance);

TEST(Registry, NamesAreUniqueAndSorted) {
  const MethodRegistry registry = builtin_methods();
  std::vector<std::string> names;
  for (const MethodInfo& info : registry.all()) names.push_back(info.name);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  MethodRegistry twice;
  twice.add({"a", "", "", {}, {}});
  EXPECT_THROW(twice.add({"a", "", "", {}, {}}), Error);
}

}  // namespace
}  // namespace claa
