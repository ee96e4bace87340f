// Finds the query heads that see what the oracle sees: greedy forward selection, and cross-validation of the
// number of heads and of the selection layer.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "claa/heads.h"
#include "eval/stats/statistics.h"

namespace claa::eval {

// Scores of one prompt by every head, independent of where they are stored.
class HeadScores {
 public:
  virtual ~HeadScores() = default;
  virtual int layers() const = 0;
  virtual int heads() const = 0;
  virtual int64_t tokens() const = 0;
  // to[t] = base[t] + the head's score of token t. Both have tokens() values.
  virtual void add_to(int layer, int head, std::span<const float> base, std::span<float> to) const = 0;
  // to[t] = the score of the published rule: the maximum over the KV heads of `last_layers` layers up to
  // `layer` (fewer if there are fewer) of the sum of their query heads' window scores (spec.md 2.2, 2.4).
  virtual void published_rule(int layer, int last_layers, std::span<float> to) const = 0;
};

struct SelectionPrompt {
  std::shared_ptr<const HeadScores> scores;
  std::vector<int32_t> wanted;  // the oracle's best tokens, ascending; not empty
  int64_t budget = 0;           // how many tokens a ranking may name
  std::string group;            // used to leave whole groups out
};

// Share of `wanted` among the `budget` best by (score desc, index asc): the share that top-k would keep.
double recall_of(std::span<const float> scores, std::span<const int32_t> wanted, int64_t budget);

struct HeadSteps {
  std::vector<LayerHead>
      picks;  // in the order of selection, each with weight 1; a head may appear several times
  std::vector<double> recall;  // mean over the prompts it was selected on, after each pick
  // Recall of each watched prompt after each pick: [prompts][picks].
  std::vector<std::vector<double>> watched;

  // The first `count` picks as heads; the number of picks of a head is its weight.
  std::vector<LayerHead> first(size_t count) const;
};

struct SelectionOptions {
  int most_heads = 12;
  std::vector<int> layers{18};      // candidates for the selection layer; heads up to it may be chosen
  int folds = 5;                    // parts of the prompts
  std::vector<int> rules{1, 2, 4};  // numbers of layers of the published rule to compare with
  const std::atomic<bool>* cancel = nullptr;
  // Reports selections done, out of all, for progress.
  std::function<void(size_t done, size_t total)> on_selection;
};

// Adds, `picks` times, the head of a layer up to `last_layer` whose addition makes the mean recall over
// `train` (indices into prompts) largest; among equal ones the lowest layer, then the lowest head. It holds
// one row of scores per prompt in memory. Throws Error{kCancelled}.
HeadSteps select_heads(std::span<const SelectionPrompt> prompts, std::span<const size_t> train,
                       std::span<const size_t> watch, int last_layer, int picks,
                       const std::atomic<bool>* cancel);

// Indices of the prompts that are left out together: every prompt is in exactly one part, and no part is
// empty. Folds deal out the prompts of each group in turn, so that every fold has some of every group.
std::vector<std::vector<size_t>> prompt_folds(std::span<const SelectionPrompt> prompts, int folds);
std::vector<std::vector<size_t>> group_folds(std::span<const SelectionPrompt> prompts);

// How window scores are made: the number of observers and the width of the average pooling.
struct ScoreKind {
  int64_t window = 0, kernel = 0;
  bool operator==(const ScoreKind&) const = default;
};

// One way to choose tokens: picked heads, or the published rule.
struct Candidate {
  int layer = 0;
  int heads = 0;           // number of picks; 0: the published rule
  int last_layers = 0;     // for the rule; 0: picked heads
  ScoreKind scores;        // set where several kinds were compared
  double selected_on = 0;  // mean recall over all prompts, on which the heads were selected
  // Recall of prompts whose fold, or whole group, was left out; n is 0 with one group. Nothing is selected
  // for the rule, so both are its recall of all prompts.
  Moments prompts_left_out, groups_left_out;
  std::vector<double> judged_by;  // recall of every prompt while it was left out: the mean of both kinds
  std::vector<LayerHead> chosen;  // heads selected on all prompts
};

// Candidates by layer: the rule by number of layers, then heads by number of picks. Needs at least two
// prompts.
std::vector<Candidate> validate_heads(std::span<const SelectionPrompt> prompts,
                                      const SelectionOptions& options);

// Chooses the candidate to use: the earliest layer, then the fewest heads, then the best recall, among those
// whose recall on left-out prompts (mean of both kinds) falls short of the best candidate's by no more than
// one standard error of the difference. The rule has no heads to choose; it takes part only if `rules`.
size_t choose_candidate(std::span<const Candidate> candidates, bool rules);

}  // namespace claa::eval
