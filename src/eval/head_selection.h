// Which query heads find what the oracle finds: greedy forward selection, and cross-validation of how many
// heads and of how late a selection layer.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "claa/heads.h"
#include "eval/statistics.h"

namespace claa::eval {

// Scores of one prompt by every head, wherever they lie.
class HeadScores {
 public:
  virtual ~HeadScores() = default;
  virtual int layers() const = 0;
  virtual int heads() const = 0;
  virtual int64_t tokens() const = 0;
  // to[t] = base[t] + the head's score of token t. Both of tokens().
  virtual void add_to(int layer, int head, std::span<const float> base, std::span<float> to) const = 0;
  // to[t] = the score of the published rule: the largest over the KV heads of `last_layers` layers up to
  // `layer` (as many as there are) of what their query heads' windows sum up to (spec.md 2.2, 2.4).
  virtual void published_rule(int layer, int last_layers, std::span<float> to) const = 0;
};

struct SelectionPrompt {
  std::shared_ptr<const HeadScores> scores;
  std::vector<int32_t> wanted;  // the oracle's best tokens, ascending; not empty
  int64_t budget = 0;           // how many tokens a ranking may name
  std::string group;            // for leaving whole groups out
};

// Share of `wanted` among the `budget` best by (score desc, index asc): what top-k would keep of it.
double recall_of(std::span<const float> scores, std::span<const int32_t> wanted, int64_t budget);

struct HeadSteps {
  std::vector<LayerHead> picks;  // in the order of selection; one may stand there several times; weight 1
  std::vector<double> recall;    // mean over the prompts it was selected on, after each pick
  // Of each prompt that was asked for, after each pick: [prompts][picks].
  std::vector<std::vector<double>> watched;

  // The first `count` picks as heads with the number of picks as weights.
  std::vector<LayerHead> first(size_t count) const;
};

struct SelectionOptions {
  int most_heads = 12;
  std::vector<int> layers{18};      // candidates for the selection layer; heads up to it may be chosen
  int folds = 5;                    // of the prompts
  std::vector<int> rules{1, 2, 4};  // numbers of layers of the published rule to compare with
  const std::atomic<bool>* cancel = nullptr;
  // Selections done, of all; for progress.
  std::function<void(size_t done, size_t total)> on_selection;
};

// Adds, `picks` times, the head of a layer up to `last_layer` whose addition makes the mean recall over
// `train` (indices into prompts) largest; equal ones: the lowest layer, then head. Memory: one row of scores
// a prompt. Throws Error{kCancelled}.
HeadSteps select_heads(std::span<const SelectionPrompt> prompts, std::span<const size_t> train,
                       std::span<const size_t> watch, int last_layer, int picks,
                       const std::atomic<bool>* cancel);

// Indices of the prompts that are left out together, every prompt in exactly one part, none empty. Folds deal
// the prompts of each group out in turn, so that every fold has some of every group.
std::vector<std::vector<size_t>> prompt_folds(std::span<const SelectionPrompt> prompts, int folds);
std::vector<std::vector<size_t>> group_folds(std::span<const SelectionPrompt> prompts);

// How window scores are made: number of observers, width of the average pooling.
struct ScoreKind {
  int64_t window = 0, kernel = 0;
  bool operator==(const ScoreKind&) const = default;
};

// One way to choose tokens: picked heads, or the published rule.
struct Candidate {
  int layer = 0;
  int heads = 0;           // picks; 0: the published rule
  int last_layers = 0;     // of the rule; 0: picked heads
  ScoreKind scores;        // where several were compared
  double selected_on = 0;  // mean recall over the prompts that the heads were selected on: all
  // Recall of prompts whose fold, or whole group, was left out; n is 0 with one group. Nothing is selected
  // for the rule: both are its recall of all prompts.
  Moments prompts_left_out, groups_left_out;
  std::vector<double> judged_by;  // recall of every prompt, left out: the mean of both kinds
  std::vector<LayerHead> chosen;  // the heads, selected on all prompts
};

// Candidates by layer: the rule by number of layers, then heads by number of picks. Needs at least two
// prompts.
std::vector<Candidate> validate_heads(std::span<const SelectionPrompt> prompts,
                                      const SelectionOptions& options);

// Which candidate to use: the earliest layer, then the fewest heads, then the best recall, among those whose
// recall of what was left out (mean of both kinds) falls short of the best candidate's by no more than one
// standard error of the difference. The rule has no heads to choose; it takes part if `rules`.
size_t choose_candidate(std::span<const Candidate> candidates, bool rules);

}  // namespace claa::eval
