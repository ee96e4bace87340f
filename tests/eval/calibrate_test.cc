// The data that a calibration collects, against what the methods themselves compute on the real model, its
// JSON and its options.
#include "eval/calibration/calibrate.h"

#include <set>

#include "core/usize.h"
#include "eval/calibration/pooled_scores.h"
#include "eval/eval_support.h"
#include "output/json.h"
#include "paths.h"

namespace claa::eval {
namespace {

const std::string kModel = test_model();

class Calibration : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    EngineOptions f32;  // so that both runs round alike
    f32.dtype = "f32";
    f32.device = "cpu";
    engine_ = new Engine(Engine::load(kModel, f32));
    folder_ = new ScratchFolder;
    options_ = new CalibrateOptions;
    options_->windows = {8, 20};
    options_->kernels = {7, 21};
    options_->layers = {4, 6};
    set_candidates(*options_, engine_->model());
    prompts_ = new std::vector<StudyPrompt>;
    collected_ = new std::vector<CollectedPrompt>;
    for (const char* name : {"Ada", "Grace", "Alan"}) {
      StudyPrompt prompt;
      prompt.id = name;
      prompt.group = name[0] == 'A' ? "a" : "g";
      for (int i = 0; i < 12; ++i)
        prompt.prompt += "The weather of day " + std::to_string(i * i) + " was fine. ";
      prompt.prompt += std::string("The name of the engineer is ") + name + ". " + prompt.prompt;
      prompt.prompt += "\nWhat is the name of the engineer?";
      prompt.gold = name;
      collected_->push_back(
          collect_prompt(*engine_, prompt, *options_, folder_->path(), scores_file(prompt), nullptr));
      prompts_->push_back(std::move(prompt));
    }
  }
  static void TearDownTestSuite() {
    delete collected_;
    delete prompts_;
    delete options_;
    delete folder_;
    delete engine_;
  }

  // The scores by which claa itself chooses, for the tokens before its window.
  static std::vector<float> scores_of_claa(const StudyPrompt& prompt, const ScoreKind& kind, int layer,
                                           const ParamValues& more) {
    Request request = oracle_request(prompt, true, 1, nullptr).request;
    request.method = "claa";
    request.params = {{"window", std::to_string(kind.window)},
                      {"kernel", std::to_string(kind.kernel)},
                      {"selection_layer", std::to_string(layer)},
                      {"keep", "0.3"}};
    request.params.insert(more.begin(), more.end());
    request.max_tokens = 1;
    const Trace trace = engine_->trace(request);
    return {trace.scores.begin(),
            trace.scores.begin() + static_cast<std::ptrdiff_t>(trace.prompt_tokens.size()) - kind.window};
  }

  static void expect_close(const std::vector<float>& actual, const std::vector<float>& expected) {
    ASSERT_LE(actual.size(), expected.size());
    for (size_t t = 0; t < actual.size(); ++t)
      ASSERT_NEAR(actual[t], expected[t], expected[t] / 500) << t;  // halves have 11 bits
  }

  static Engine* engine_;
  static ScratchFolder* folder_;
  static CalibrateOptions* options_;
  static std::vector<StudyPrompt>* prompts_;
  static std::vector<CollectedPrompt>* collected_;
};

Engine* Calibration::engine_ = nullptr;
ScratchFolder* Calibration::folder_ = nullptr;
CalibrateOptions* Calibration::options_ = nullptr;
std::vector<StudyPrompt>* Calibration::prompts_ = nullptr;
std::vector<CollectedPrompt>* Calibration::collected_ = nullptr;

// spec.md 2.2 and 2.4, computed from the stored scores, against the engine's own scores.
TEST_F(Calibration, PublishedRuleIsThatOfTheEngine) {
  for (const ScoreKind& kind : options_->kinds()) {
    const auto read = selection_prompts(*collected_, *options_, kind, 0.2, folder_->path());
    for (const int layer : {4, 6}) {
      for (const int n : {1, 2, 4}) {
        std::vector<float> rule(usize(read[0].scores->tokens()));
        read[0].scores->published_rule(layer, n, rule);
        expect_close(rule, scores_of_claa((*prompts_)[0], kind, layer, {{"last_layers", std::to_string(n)}}));
      }
    }
  }
}

TEST_F(Calibration, HeadsAreThoseOfTheEngine) {
  for (const ScoreKind& kind : options_->kinds()) {
    const auto read = selection_prompts(*collected_, *options_, kind, 0.2, folder_->path());
    const HeadScores& scores = *read[1].scores;
    std::vector<float> sum(usize(scores.tokens()), 0.0f);
    for (const auto& [layer, head] : {std::pair(1, 4), {6, 8}, {6, 8}}) scores.add_to(layer, head, sum, sum);
    std::vector<float> expected = scores_of_claa((*prompts_)[1], kind, 6, {{"heads", "1.4,6.8*2"}});
    for (float& score : expected) score *= static_cast<float>(expected.size());  // shares, times the tokens
    expect_close(sum, expected);
  }
}

// One measure for all: the same wanted tokens before the widest window, and the same budget.
TEST_F(Calibration, EveryKindIsMeasuredAlike) {
  for (const ScoreKind& kind : options_->kinds()) {
    const auto read = selection_prompts(*collected_, *options_, kind, 0.2, folder_->path());
    for (size_t i = 0; i < read.size(); ++i) {
      EXPECT_EQ(read[i].scores->tokens(), (*collected_)[i].tokens - 20);
      EXPECT_EQ(read[i].wanted, (*collected_)[i].wanted);
      EXPECT_EQ(read[i].budget, share((*collected_)[i].tokens - 20, 0.2));
    }
  }
}

TEST_F(Calibration, ChoosesAmongWindowsAndKernels) {
  SelectionOptions selection;
  selection.layers = options_->layers;
  selection.most_heads = 2;
  size_t last = 0, all = 0;
  selection.on_selection = [&](size_t done, size_t total) {
    EXPECT_EQ(done, last + 1);
    last = done;
    all = total;
  };
  const SelectionResult result =
      choose_heads(*collected_, *options_, options_->kinds(), selection, 0.2, folder_->path());
  EXPECT_EQ(last, all);
  ASSERT_EQ(result.candidates.size(), 4u * 2 * (3 + 2));
  EXPECT_GT(result.choice().heads, 0);
  for (const Candidate& candidate : result.candidates) {
    if (candidate.heads > 0) continue;
    const auto read = selection_prompts(*collected_, *options_, candidate.scores, 0.2, folder_->path());
    // The same by the engine's own scores.
    std::vector<float> own = scores_of_claa((*prompts_)[2], candidate.scores, candidate.layer,
                                            {{"last_layers", std::to_string(candidate.last_layers)}});
    own.resize(usize(read[2].scores->tokens()));
    EXPECT_NEAR(candidate.judged_by[2], recall_of(own, read[2].wanted, read[2].budget), 0.13)
        << "one wanted token may change places by rounding";
  }
  const std::map<std::string, Moments> groups = recall_by_group(result.choice(), *collected_);
  EXPECT_EQ(groups.at("a").n, 2);
  EXPECT_EQ(groups.at("g").n, 1);
  EXPECT_DOUBLE_EQ(groups.at("g").mean, result.choice().judged_by[1]);
  // Each layer and kind has three rules and the best of the heads.
  const std::vector<const Candidate*> compared = to_compare(result);
  EXPECT_EQ(compared.size(), 4u * 2 * 4);
  for (const Candidate& candidate : result.candidates) {
    const auto rival = std::find_if(compared.begin(), compared.end(), [&](const Candidate* other) {
      return other->layer == candidate.layer && other->scores == candidate.scores &&
             other->last_layers == candidate.last_layers;
    });
    ASSERT_NE(rival, compared.end());
    EXPECT_GE(moments((*rival)->judged_by).mean, moments(candidate.judged_by).mean);
  }
  const Profile profile = make_profile(engine_->model(), *options_, *collected_, result, {}).profile;
  EXPECT_EQ(profile.window, result.choice().scores.window);
  EXPECT_EQ(profile.kernel, result.choice().scores.kernel);
}

// On request the rule may win, and it does where heads are no better.
TEST_F(Calibration, MakesAProfileOfTheRule) {
  CalibrateOptions options = *options_;
  options.rule = true;
  SelectionOptions selection;
  selection.layers = {6};
  selection.most_heads = 1;
  SelectionResult result =
      choose_heads(*collected_, options, options.kinds(), selection, 1.0, folder_->path());
  EXPECT_EQ(result.choice().heads, 0) << "every ranking finds everything within a budget of all";
  EXPECT_EQ(result.chosen, choose_candidate(result.candidates, true));
  const MadeProfile made = make_profile(engine_->model(), options, *collected_, result, {});
  const Profile& profile = made.profile;
  EXPECT_TRUE(profile.chosen.empty());
  EXPECT_EQ(profile.last_layers, result.choice().last_layers);
  EXPECT_EQ(profile.selection_layer, 6);
  EXPECT_EQ(made.calibration.at("chosen").as_object().at("last_layers"), profile.last_layers);
  EXPECT_NO_THROW(parse_profile(json_text(to_json(made)), "p"));
  options.early = {2, 0.5};
  expect_error(ErrorCode::kInvalidArgument, "early drop needs heads",
               [&] { set_candidates(options, engine_->model()); });
}

// The picture shows the recall of each head alone, of the kind that was chosen.
TEST_F(Calibration, HeadRecallIsThatOfTheKind) {
  const ScoreKind kind{20, 7};
  const auto read = selection_prompts(*collected_, *options_, kind, options_->budget, folder_->path());
  const std::vector<std::vector<double>> mean = mean_head_recall(*collected_, *options_, kind);
  EXPECT_EQ(mean.size(), 30u);
  double sum = 0;
  for (const SelectionPrompt& prompt : read) {
    std::vector<float> scores(usize(prompt.scores->tokens()), 0.0f);
    prompt.scores->add_to(5, 3, scores, scores);
    sum += recall_of(scores, prompt.wanted, prompt.budget);
  }
  EXPECT_NEAR(mean.at(5).at(3), sum / 3, 0.05);  // rounding to halves
  EXPECT_NE(mean, mean_head_recall(*collected_, *options_, {8, 7}));
  std::vector<CollectedPrompt> damaged = *collected_;
  damaged[1].head_recall[2].pop_back();  // one layer less
  expect_error(ErrorCode::kCorruptFile, "'head_recall'", [&] { mean_head_recall(damaged, *options_, kind); });
  damaged[0].head_recall.clear();
  expect_error(ErrorCode::kCorruptFile, "'head_recall'", [&] { mean_head_recall(damaged, *options_, kind); });
}

TEST_F(Calibration, RefusesScoresOfOtherSettings) {
  CalibrateOptions other = *options_;
  other.windows = {8};
  expect_error(ErrorCode::kCorruptFile, "does not belong to prompt 'Ada'", [&] {
    selection_prompts(*collected_, other, {8, 7}, 0.2, folder_->path());
  });
  std::vector<CollectedPrompt> shorter = *collected_;
  --shorter[1].tokens;
  expect_error(ErrorCode::kCorruptFile, "does not belong to prompt 'Grace'", [&] {
    selection_prompts(shorter, *options_, {8, 7}, 0.2, folder_->path());
  });
}

TEST(CollectedPrompt, SurvivesItsJson) {
  CollectedPrompt prompt;
  prompt.id = "a", prompt.group = "g", prompt.answer = "cut \xC3", prompt.file = "scores_0.bin";
  prompt.tokens = 2000, prompt.answer_tokens = 7;
  prompt.wanted = {1, 5, 9};
  prompt.head_recall = {{{0, .5}, {1, .25}}, {{.5, 0}, {0, 1}}};
  const CollectedPrompt actual =
      collected_from_json(boost::json::parse(json_text(to_json(prompt))).as_object());
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

TEST(CalibrateOptions, FillsInAndChecksTheCandidates) {
  ModelSummary model;
  model.layers = 30;
  CalibrateOptions options;
  set_candidates(options, model);
  EXPECT_EQ(options.layers, (std::vector<int>{14, 18}));
  options.layers = {18, 3, 18};
  options.windows = {64, 8, 64};
  options.kernels = {21, 7};
  set_candidates(options, model);
  EXPECT_EQ(options.kinds(), (std::vector<ScoreKind>{{8, 7}, {8, 21}, {64, 7}, {64, 21}}));
  EXPECT_EQ(options.layers, (std::vector<int>{3, 18}));
  options.layers = {29};
  expect_error(ErrorCode::kInvalidArgument, "layer 29 cannot be a selection layer",
               [&] { set_candidates(options, model); });
  options.layers.clear();
  model.layers = 2;
  set_candidates(options, model);
  EXPECT_EQ(options.layers, (std::vector<int>{0}));
}

}  // namespace
}  // namespace claa::eval
