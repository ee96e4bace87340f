// The selection of heads against brute force, cross-validation, and the file of scores.
#include "eval/head_selection.h"

#include <algorithm>
#include <random>
#include <set>

#include "eval/calibrate.h"
#include "eval/eval_support.h"
#include "eval/head_scores.h"
#include "gguf/half.h"

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
    for (size_t t = 0; t < kTokens; ++t)
      to[t] = base[t] + values[static_cast<size_t>(layer * kHeads + head) * kTokens + t];
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
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  order.resize(std::min(order.size(), static_cast<size_t>(budget)));
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

// What is reported of one candidate, computed again from single selections.
TEST(HeadSelection, ReportsWhatWasLeftOut) {
  const std::vector<SelectionPrompt> prompts = made_up_prompts(9);
  SelectionOptions options;
  options.layers = {0, 2};
  options.most_heads = 4;
  options.folds = 3;
  std::vector<size_t> seen;
  options.on_selection = [&](size_t done, size_t total) {
    seen.push_back(done);
    EXPECT_EQ(total, 14u);
  };
  const SelectionResult result = choose_heads(prompts, options);
  EXPECT_EQ(seen.size(), 14u);
  ASSERT_EQ(result.candidates.size(), 8u);
  for (const Candidate& candidate : result.candidates) {
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
  }
  // Nothing earlier or smaller is as good as the best; the heads are those of a selection on all prompts.
  const Candidate& chosen = result.candidates[result.chosen];
  std::vector<size_t> all = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  const HeadSteps steps = select_heads(prompts, all, {}, chosen.layer, chosen.heads, nullptr);
  EXPECT_EQ(result.heads, steps.first(static_cast<size_t>(chosen.heads)));
}

// One head that finds everything, in the first layer: more heads and later layers gain nothing.
TEST(HeadSelection, PrefersTheEarliestAndFewest) {
  std::vector<SelectionPrompt> prompts = made_up_prompts(6);
  for (SelectionPrompt& prompt : prompts) {
    auto scores = std::make_shared<MadeUpScores>(5);
    std::fill(scores->values.begin(), scores->values.end(), 0.0f);
    for (const int32_t t : prompt.wanted) scores->values[static_cast<size_t>(kTokens + t)] = 9;  // head 0.1
    prompt.scores = scores;
  }
  SelectionOptions options;
  options.layers = {0, 1, 2};
  options.most_heads = 3;
  const SelectionResult result = choose_heads(prompts, options);
  EXPECT_EQ(result.chosen, 0u);
  EXPECT_EQ(result.heads, (std::vector<LayerHead>{{0, 1, 1}}));
  EXPECT_DOUBLE_EQ(result.candidates[0].groups_left_out.mean, 1);
}

TEST(HeadSelection, OneGroupCannotBeLeftOut) {
  std::vector<SelectionPrompt> prompts = made_up_prompts(4);
  for (SelectionPrompt& prompt : prompts) prompt.group = "all";
  SelectionOptions options;
  options.layers = {1};
  options.most_heads = 1;
  EXPECT_EQ(choose_heads(prompts, options).candidates[0].groups_left_out.n, 0);
}

TEST(HeadSelection, StopsAndRefuses) {
  const std::vector<SelectionPrompt> prompts = made_up_prompts(4);
  SelectionOptions options;
  options.layers = {1};
  expect_error(ErrorCode::kInvalidArgument, "at least 2 prompts, there are 1",
               [&] { choose_heads(std::span(prompts).first(1), options); });
  const std::atomic<bool> cancelled{true};
  options.cancel = &cancelled;
  expect_error(ErrorCode::kCancelled, "", [&] { choose_heads(prompts, options); });
}

TEST(HeadScores, HalvesAreTheNearest) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float value = gguf::half_to_float(static_cast<uint16_t>(bits));
    ASSERT_EQ(to_half(value), bits);
    if (bits + 1 == 0x7c00) break;
    const float next = gguf::half_to_float(static_cast<uint16_t>(bits + 1));
    const float middle = (value + next) / 2;  // exact
    ASSERT_EQ(to_half(middle), bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(to_half(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(to_half(std::nextafter(middle, next)), bits + 1);
  }
  EXPECT_EQ(to_half(1e9f), 0x7bff);
  EXPECT_EQ(to_half(INFINITY), 0x7bff);
  EXPECT_EQ(to_half(NAN), 0);
  EXPECT_EQ(to_half(-1.0f), 0);
}

TEST(HeadScores, SurviveTheirFile) {
  const ScratchFolder folder;
  const std::string path = (folder.path() / "s.bin").string();
  HeadScoresWriter writer(2, 4);
  const std::vector<float> layers[] = {{.25f, .25f, .5f, 0, 1, 0, 0, 0},
                                       {0, 0, 0, 1, .125f, .125f, .25f, .5f}};
  for (const auto& layer : layers) writer.add_layer(layer);
  writer.write(path);
  const HeadScoresFile file(path);
  EXPECT_EQ(file.layers(), 2);
  EXPECT_EQ(file.heads(), 2);
  EXPECT_EQ(file.tokens(), 4);
  std::vector<float> sum(4, 1.0f);
  file.add_to(1, 1, sum, sum);
  EXPECT_EQ(sum, (std::vector<float>{1.5f, 1.5f, 2, 3}));
  file.add_to(0, 0, sum, sum);
  EXPECT_EQ(sum, (std::vector<float>{2.5f, 2.5f, 4, 3}));
}

TEST(HeadScores, AreRefusedWhenDamaged) {
  const ScratchFolder folder;
  const std::string path = (folder.path() / "s.bin").string();
  HeadScoresWriter writer(1, 5);
  writer.add_layer(std::vector<float>{.2f, .2f, .2f, .2f, .2f});
  writer.write(path);
  const std::string whole = content_of(path);
  const auto damaged = [&](const std::string& bytes, const std::string& complaint) {
    std::ofstream(path, std::ios::binary) << bytes;
    expect_error(ErrorCode::kCorruptFile, complaint, [&] { const HeadScoresFile file(path); });
  };
  for (size_t length = 0; length < whole.size(); ++length)
    damaged(whole.substr(0, length), "no usable head scores");
  damaged(whole + "x", "announces");
  for (const auto& [at, complaint] : std::vector<std::pair<size_t, std::string>>{
           {0, "CLAAHEAD"}, {8, "version"}, {14, "announces"}, {whole.size() - 1, "checksum"}}) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] + 1);
    damaged(changed, complaint);
  }
}

TEST(CollectedPrompt, SurvivesItsJson) {
  CollectedPrompt prompt;
  prompt.id = "a", prompt.group = "g", prompt.answer = "cut \xC3", prompt.file = "scores_0.bin";
  prompt.tokens = 2000, prompt.answer_tokens = 7;
  prompt.wanted = {1, 5, 9};
  prompt.head_recall = {{0, .5}, {1, .25}};
  const CollectedPrompt actual =
      collected_from_json(boost::json::parse(boost::json::serialize(to_json(prompt))).as_object());
  EXPECT_EQ(actual.id, "a");
  EXPECT_EQ(actual.tokens, 2000);
  EXPECT_EQ(actual.wanted, prompt.wanted);
  EXPECT_EQ(actual.head_recall, prompt.head_recall);
  EXPECT_EQ(actual.file, prompt.file);
  expect_error(ErrorCode::kCorruptFile, "'wanted' is missing", [&] {
    boost::json::object lacking = to_json(prompt);
    lacking.erase("wanted");
    collected_from_json(lacking);
  });
  expect_error(ErrorCode::kCorruptFile, "wrong type", [&] {
    boost::json::object wrong = to_json(prompt);
    wrong["tokens"] = "many";
    collected_from_json(wrong);
  });
}

TEST(CollectedPrompt, HasAFileOfItsContent) {
  StudyPrompt prompt;
  prompt.id = "a", prompt.prompt = "text";
  std::set<std::string> names = {scores_file(prompt)};
  EXPECT_EQ(scores_file(prompt), *names.begin());
  prompt.id = "b", names.insert(scores_file(prompt));
  prompt.prompt = "other", names.insert(scores_file(prompt));
  prompt.gold = "answer", names.insert(scores_file(prompt));
  EXPECT_EQ(names.size(), 4u);
}

TEST(CalibrateOptions, FillsInAndChecksTheLayers) {
  ModelSummary model;
  model.layers = 30;
  CalibrateOptions options;
  set_layers(options, model);
  EXPECT_EQ(options.layers, (std::vector<int>{14, 18}));
  options.layers = {18, 3, 18};
  set_layers(options, model);
  EXPECT_EQ(options.layers, (std::vector<int>{3, 18}));
  options.layers = {29};
  expect_error(ErrorCode::kInvalidArgument, "layer 29 cannot be a selection layer",
               [&] { set_layers(options, model); });
  options.layers.clear();
  model.layers = 2;
  set_layers(options, model);
  EXPECT_EQ(options.layers, (std::vector<int>{0}));
}

}  // namespace
}  // namespace claa::eval
