// Calibration: from one pass per prompt, the oracle's best tokens and every query head's scores; from many
// prompts, the heads that find them.
#pragma once

#include <boost/json.hpp>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "claa/engine.h"
#include "eval/calibration/head_selection.h"
#include "eval/calibration/profile_file.h"
#include "eval/study/prompts.h"

namespace claa::eval {

struct CalibrateOptions {
  // Candidates, ascending; each window is tried with each kernel. See set_candidates().
  std::vector<int64_t> windows{64};  // observers
  std::vector<int64_t> kernels{21};  // average pooling of the heads' scores
  int64_t oracle_kernel = 13;        // pooling of the oracle (spec.md 8.1)
  int64_t answer_tokens = 64;        // longest answer of the model itself
  bool use_gold = true;              // the right answer, teacher forced, where a prompt has one
  double oracle_best = 0.05;         // share of the tokens, best by the oracle, that heads should find
  double budget = 0.2;               // heads should find them among this share, best by their own scores
  std::vector<int> layers;           // candidates for the selection layer, ascending; see set_candidates()
  int most_heads = 12;
  int folds = 5;
  // Heads for an early drop are chosen too, by their recall at its rate. Rate 1: none.
  EarlyDrop early;
  bool rule = false;     // the published rule may be chosen if no heads are better
  int first_layer = -1;  // first_layer of the profile; -1: after the selection layer

  int last_layer() const { return layers.back(); }
  int64_t widest_window() const { return windows.back(); }
  std::vector<ScoreKind> kinds() const;  // the kernels of one window stand together
  // The options that the collected scores depend on, name and value, as the log stores them.
  boost::json::object collection() const;
};

// The results of one prompt, apart from the file of its scores.
struct CollectedPrompt {
  std::string id, group;
  int64_t tokens = 0, answer_tokens = 0;
  std::string answer;
  std::string file;             // file of the scores, in the folder of the study
  std::vector<int32_t> wanted;  // the oracle's best tokens, ascending
  // Recall of each head alone: [kinds()][layers][query heads].
  std::vector<std::vector<std::vector<double>>> head_recall;
};

boost::json::object to_json(const CollectedPrompt& prompt);
// Throws Error{kCorruptFile} naming the field that is missing or of the wrong type.
CollectedPrompt collected_from_json(const boost::json::object& json);

// Sorts the candidates, and adds default layers if there are none: half of the depth, as in the paper, and
// three fifths. Throws Error{kInvalidArgument} for layers that the model lacks or cannot select at, and for
// an early drop that comes too late or could have no heads.
void set_candidates(CalibrateOptions& options, const ModelSummary& model);
// Runs the prompt and its answer, and writes the scores of the layers up to the last candidate to
// `folder`/`file`. It holds these scores in memory as half floats. Throws Error{kContextExceeded};
// {kInvalidArgument} for a prompt of less than twice the widest window, where nothing is left to rank.
CollectedPrompt collect_prompt(Engine& engine, const StudyPrompt& prompt, const CalibrateOptions& options,
                               const std::filesystem::path& folder, const std::string& file,
                               const std::atomic<bool>* cancel);

// Name of the file of a prompt's scores. It depends on the content, so that a changed prompt is collected
// anew.
std::string scores_file(const StudyPrompt& prompt);

// Reads the collected scores of one of options.kinds(); a ranking may name the share `budget` of the tokens.
// All kinds are measured by the same tokens: those before the widest window. Throws Error{kCorruptFile} for
// files that do not belong to the prompts.
std::vector<SelectionPrompt> selection_prompts(const std::vector<CollectedPrompt>& collected,
                                               const CalibrateOptions& options, const ScoreKind& kind,
                                               double budget, const std::filesystem::path& folder);

struct SelectionResult {
  std::vector<Candidate> candidates;  // by kind of scores, layer
  size_t chosen = 0;                  // index into candidates
  const Candidate& choice() const { return candidates[chosen]; }
};
// Chooses heads at `selection.layers` for every kind of scores in options.kinds(), and which of all
// candidates to use. It holds the scores of one kind in memory as half floats.
SelectionResult choose_heads(const std::vector<CollectedPrompt>& collected, const CalibrateOptions& options,
                             std::span<const ScoreKind> kinds, const SelectionOptions& selection,
                             double budget, const std::filesystem::path& folder);

// The candidates that show whether picking heads was worth it: for every layer and kind of scores the
// published rule, and the heads with the best recall on left-out prompts. The pointers lead into `result`.
std::vector<const Candidate*> to_compare(const SelectionResult& result);

// A candidate's recall on left-out prompts, by the prompts' group.
std::map<std::string, Moments> recall_by_group(const Candidate& candidate,
                                               const std::vector<CollectedPrompt>& collected);

MadeProfile make_profile(const ModelSummary& model, const CalibrateOptions& options,
                         const std::vector<CollectedPrompt>& collected, const SelectionResult& result,
                         const std::optional<SelectionResult>& early);

// Mean over the prompts of one kind of scores, [layers][query heads]. Throws Error{kCorruptFile} where
// prompts have different shapes.
std::vector<std::vector<double>> mean_head_recall(const std::vector<CollectedPrompt>& collected,
                                                  const CalibrateOptions& options, const ScoreKind& kind);

}  // namespace claa::eval
