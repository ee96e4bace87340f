// The selection of heads against brute force, and its cross-validation.
#include "eval/calibration/head_selection.h"

#include <algorithm>
#include <random>
#include <set>

#include "core/usize.h"
#include "eval/eval_support.h"

namespace claa::eval {
namespace {

constexpr int kLayers = 3, kHeads = 2;
constexpr int64_t kTokens = 40;

class MadeUpScores : public HeadScores {
 public:
  explicit MadeUpScores(uint64_t seed) : values(kLayers * kHeads * kTokens) {
    std::mt19937_64 random(seed);
    // Few distinct values, so that there are ties.
    for (float& value : values) value = static_cast<float>(random() % 6);
  }
  int layers() const override { return kLayers; }
  int heads() const override { return kHeads; }
  int64_t tokens() const override { return kTokens; }
  void add_to(int layer, int head, std::span<const float> base, std::span<float> to) const override {
    for (size_t t = 0; t < kTokens; ++t) to[t] = base[t] + values[usize(layer * kHeads + head) * kTokens + t];
  }
  // Made up: one "KV head" per layer, which has the largest of its heads' scores.
  void published_rule(int layer, int last_layers, std::span<float> to) const override {
    for (size_t t = 0; t < kTokens; ++t) {
      to[t] = 0;
      for (int row = std::max(0, layer - last_layers + 1) * kHeads; row < (layer + 1) * kHeads; ++row)
        to[t] = std::max(to[t], values[usize(row) * kTokens + t]);
    }
  }
  std::vector<float> values;
};

std::vector<SelectionPrompt> made_up_prompts(size_t count) {
  std::vector<SelectionPrompt> prompts;
  for (size_t i = 0; i < count; ++i) {
    std::mt19937_64 random(100 + i);
    std::set<int32_t> wanted;
    while (wanted.size() < 3) wanted.insert(static_cast<int32_t>(random() % kTokens));
    prompts.push_back({std::make_shared<MadeUpScores>(i),
                       {wanted.begin(), wanted.end()},
                       8,
                       i % 3 == 0   ? "a"
                       : i % 3 == 1 ? "b"
                                    : "c"});
  }
  return prompts;
}

// The definition: sort everything.
double naive_recall(const std::vector<float>& scores, const std::vector<int32_t>& wanted, int64_t budget) {
  std::vector<int32_t> order(scores.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return scores[usize(a)] > scores[usize(b)]; });
  order.resize(std::min(order.size(), usize(budget)));
  double found = 0;
  for (const int32_t w : wanted) found += std::count(order.begin(), order.end(), w) > 0 ? 1 : 0;
  return found / static_cast<double>(wanted.size());
}

double mean_recall(const std::vector<SelectionPrompt>& prompts, const std::vector<size_t>& of,
                   const std::vector<LayerHead>& picks) {
  double sum = 0;
  for (const size_t i : of) {
    std::vector<float> total(kTokens, 0.0f);
    for (const LayerHead& pick : picks) prompts[i].scores->add_to(pick.layer, pick.head, total, total);
    sum += naive_recall(total, prompts[i].wanted, prompts[i].budget);
  }
  return sum / static_cast<double>(of.size());
}

TEST(HeadSelection, RecallIsThatOfASort) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<float> scores(1 + random() % 30);
    for (float& score : scores) score = static_cast<float>(random() % 4);
    std::set<int32_t> wanted{0};
    for (int i = 0; i < 5; ++i) wanted.insert(static_cast<int32_t>(random() % scores.size()));
    const std::vector<int32_t> list(wanted.begin(), wanted.end());
    for (int64_t budget = 0; budget <= static_cast<int64_t>(scores.size()) + 1; ++budget)
      ASSERT_DOUBLE_EQ(recall_of(scores, list, budget), naive_recall(scores, list, budget)) << budget;
  }
}

// Every step tries all heads, and takes the first of the best.
TEST(HeadSelection, IsGreedyLikeBruteForce) {
  const std::vector<SelectionPrompt> prompts = made_up_prompts(7);
  const std::vector<size_t> train = {0, 1, 3, 4, 6}, watch = {2, 5};
  for (int last_layer = 0; last_layer < kLayers; ++last_layer) {
    const HeadSteps steps = select_heads(prompts, train, watch, last_layer, 6, nullptr);
    std::vector<LayerHead> picks;
    for (size_t step = 0; step < 6; ++step) {
      LayerHead best;
      double best_recall = -1;
      for (int layer = 0; layer <= last_layer; ++layer) {
        for (int head = 0; head < kHeads; ++head) {
          std::vector<LayerHead> trial = picks;
          trial.push_back({layer, head, 1});
          const double recall = mean_recall(prompts, train, trial);
          if (recall > best_recall) best_recall = recall, best = {layer, head, 1};
        }
      }
      picks.push_back(best);
      ASSERT_EQ(steps.picks[step], best) << last_layer << " " << step;
      EXPECT_DOUBLE_EQ(steps.recall[step], best_recall);
      for (size_t w = 0; w < watch.size(); ++w)
        EXPECT_DOUBLE_EQ(steps.watched[w][step], mean_recall(prompts, {watch[w]}, picks));
    }
  }
}

TEST(HeadSelection, CountsRepeatedPicksAsWeight) {
  HeadSteps steps;
  steps.picks = {{2, 1, 1}, {0, 1, 1}, {2, 1, 1}, {1, 0, 1}};
  EXPECT_EQ(steps.first(3), (std::vector<LayerHead>{{0, 1, 1}, {2, 1, 2}}));
  EXPECT_EQ(steps.first(1), (std::vector<LayerHead>{{2, 1, 1}}));
}

TEST(HeadSelection, FoldsCoverEveryPromptOnce) {
  for (const size_t count : {2u, 3u, 7u, 20u}) {
    const std::vector<SelectionPrompt> prompts = made_up_prompts(count);
    for (const auto& parts : {prompt_folds(prompts, 5), group_folds(prompts)}) {
      std::vector<size_t> all;
      for (const std::vector<size_t>& part : parts) {
        EXPECT_FALSE(part.empty());
        all.insert(all.end(), part.begin(), part.end());
      }
      std::sort(all.begin(), all.end());
      ASSERT_EQ(all.size(), count);
      for (size_t i = 0; i < count; ++i) EXPECT_EQ(all[i], i);
    }
    EXPECT_EQ(prompt_folds(prompts, 5).size(), std::min<size_t>(count, 5));
    for (const std::vector<size_t>& part : group_folds(prompts)) {
      for (const size_t i : part) EXPECT_EQ(prompts[i].group, prompts[part[0]].group);
    }
  }
}

// The reported numbers of one candidate, computed again from single selections.
TEST(HeadSelection, ReportsWhatWasLeftOut) {
  const std::vector<SelectionPrompt> prompts = made_up_prompts(9);
  SelectionOptions options;
  options.layers = {0, 2};
  options.most_heads = 4;
  options.folds = 3;
  options.rules = {};
  std::vector<size_t> seen;
  options.on_selection = [&](size_t done, size_t total) {
    seen.push_back(done);
    EXPECT_EQ(total, 14u);
  };
  const std::vector<Candidate> candidates = validate_heads(prompts, options);
  EXPECT_EQ(seen.size(), 14u);
  ASSERT_EQ(candidates.size(), 8u);
  const std::vector<size_t> all = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  for (const Candidate& candidate : candidates) {
    for (const bool by_group : {false, true}) {
      double sum = 0;
      for (const std::vector<size_t>& part : by_group ? group_folds(prompts) : prompt_folds(prompts, 3)) {
        std::vector<size_t> train;
        for (size_t i = 0; i < 9; ++i) {
          if (std::count(part.begin(), part.end(), i) == 0) train.push_back(i);
        }
        const HeadSteps steps = select_heads(prompts, train, {}, candidate.layer, candidate.heads, nullptr);
        sum += mean_recall(prompts, part, steps.picks) * static_cast<double>(part.size());
      }
      const Moments& reported = by_group ? candidate.groups_left_out : candidate.prompts_left_out;
      EXPECT_EQ(reported.n, 9);
      EXPECT_NEAR(reported.mean, sum / 9, 1e-12) << candidate.layer << " " << candidate.heads;
    }
    EXPECT_NEAR(moments(candidate.judged_by).mean,
                (candidate.prompts_left_out.mean + candidate.groups_left_out.mean) / 2, 1e-12);
    // The heads are those of a selection on all prompts.
    const HeadSteps steps = select_heads(prompts, all, {}, candidate.layer, candidate.heads, nullptr);
    EXPECT_EQ(candidate.chosen, steps.first(usize(candidate.heads)));
  }
}

// The published rule stands beside the heads of every layer, with the recall of every prompt.
TEST(HeadSelection, ReportsThePublishedRule) {
  const std::vector<SelectionPrompt> prompts = made_up_prompts(6);
  SelectionOptions options;
  options.layers = {0, 2};
  options.most_heads = 1;
  const std::vector<Candidate> candidates = validate_heads(prompts, options);
  std::vector<std::pair<int, int>> rules;
  for (const Candidate& candidate : candidates) {
    if (candidate.heads > 0) continue;
    rules.emplace_back(candidate.layer, candidate.last_layers);
    EXPECT_TRUE(candidate.chosen.empty());
    double sum = 0;
    for (size_t i = 0; i < prompts.size(); ++i) {
      std::vector<float> scores(kTokens);
      prompts[i].scores->published_rule(candidate.layer, candidate.last_layers, scores);
      const double recall = naive_recall(scores, prompts[i].wanted, prompts[i].budget);
      EXPECT_DOUBLE_EQ(candidate.judged_by[i], recall);
      sum += recall;
    }
    EXPECT_NEAR(candidate.prompts_left_out.mean, sum / 6, 1e-12);
    EXPECT_EQ(candidate.prompts_left_out.n, 6);
    EXPECT_EQ(candidate.groups_left_out.mean, candidate.prompts_left_out.mean);
  }
  // More layers than there are would give the same candidate again.
  EXPECT_EQ(rules, (std::vector<std::pair<int, int>>{{0, 1}, {2, 1}, {2, 2}}));
}

Candidate judged(int layer, int heads, std::vector<double> recalls) {
  Candidate candidate;
  candidate.layer = layer;
  candidate.heads = heads;
  candidate.last_layers = heads == 0 ? 1 : 0;
  candidate.judged_by = std::move(recalls);
  return candidate;
}

// One standard error of the paired difference decides, not of the recalls.
TEST(HeadSelection, ChoosesTheSimplestThatIsAsGood) {
  const std::vector<Candidate> candidates = {
      judged(18, 2, {.5, .7, .9}),   // the best
      judged(18, 1, {.4, .6, .8}),   // worse on every prompt alike
      judged(10, 9, {.7, .6, .7}),   // as good, earlier
      judged(10, 3, {.65, .6, .7}),  // as good, fewer heads
      judged(10, 3, {.7, .6, .7}),   // other scores of the same cost, better
      judged(10, 0, {.6, .6, .7}),   // the rule
      judged(4, 1, {.1, .2, .1}),
  };
  EXPECT_EQ(choose_candidate(candidates, false), 4u);
  EXPECT_EQ(choose_candidate(candidates, true), 5u);
  EXPECT_EQ(choose_candidate(std::span(candidates).first(2), true), 0u);
  // If a rule is best, heads that are worse must not win.
  const std::vector<Candidate> rule_wins = {judged(9, 0, {.9, .9}), judged(9, 1, {.5, .6})};
  EXPECT_EQ(choose_candidate(rule_wins, true), 0u);
  EXPECT_EQ(choose_candidate(rule_wins, false), 1u);
}

// One head that finds everything, in the first layer: more heads and later layers gain nothing.
TEST(HeadSelection, PrefersTheEarliestAndFewest) {
  std::vector<SelectionPrompt> prompts = made_up_prompts(6);
  for (SelectionPrompt& prompt : prompts) {
    auto scores = std::make_shared<MadeUpScores>(5);
    std::fill(scores->values.begin(), scores->values.end(), 0.0f);
    for (const int32_t t : prompt.wanted) scores->values[usize(kTokens + t)] = 9;  // head 0.1
    prompt.scores = scores;
  }
  SelectionOptions options;
  options.layers = {0, 1, 2};
  options.most_heads = 3;
  const std::vector<Candidate> candidates = validate_heads(prompts, options);
  const Candidate& chosen = candidates[choose_candidate(candidates, false)];
  EXPECT_EQ(chosen.layer, 0);
  EXPECT_EQ(chosen.chosen, (std::vector<LayerHead>{{0, 1, 1}}));
  EXPECT_DOUBLE_EQ(chosen.groups_left_out.mean, 1);
}

TEST(HeadSelection, OneGroupCannotBeLeftOut) {
  std::vector<SelectionPrompt> prompts = made_up_prompts(4);
  for (SelectionPrompt& prompt : prompts) prompt.group = "all";
  SelectionOptions options;
  options.layers = {1};
  options.most_heads = 1;
  for (const Candidate& candidate : validate_heads(prompts, options))
    EXPECT_EQ(candidate.groups_left_out.n, 0);
}

TEST(HeadSelection, StopsAndRefuses) {
  const std::vector<SelectionPrompt> prompts = made_up_prompts(4);
  SelectionOptions options;
  options.layers = {1};
  expect_error(ErrorCode::kInvalidArgument, "at least 2 prompts, there are 1",
               [&] { validate_heads(std::span(prompts).first(1), options); });
  const std::atomic<bool> cancelled{true};
  options.cancel = &cancelled;
  expect_error(ErrorCode::kCancelled, "", [&] { validate_heads(prompts, options); });
}

}  // namespace
}  // namespace claa::eval
