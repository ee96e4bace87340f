// Calibration: per prompt the oracle's best tokens and every query head's scores, from one pass; from many
// prompts the heads that find them.
#pragma once

#include <boost/json.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "claa/engine.h"
#include "eval/head_selection.h"
#include "eval/profile.h"
#include "eval/prompts.h"

namespace claa::eval {

struct CalibrateOptions {
  int64_t window = 64;         // observers
  int64_t kernel = 21;         // average pooling of the heads' scores
  int64_t oracle_kernel = 13;  // of the oracle's (methods.md 8)
  int64_t answer_tokens = 64;  // longest answer of the model's own
  bool use_gold = true;        // the right answer, teacher forced, where a prompt has one
  double oracle_best = 0.05;   // the oracle's tokens that heads should find,
  double budget = 0.2;         // among this share of their own
  std::vector<int> layers;     // candidates for the selection layer, ascending; see set_layers()
  int most_heads = 12;
  int folds = 5;
  // Heads for an early drop are chosen too: by their recall at its rate. Rate 1: none.
  EarlyDrop early;
  int first_layer = -1;  // of the profile; -1: after the selection layer

  int last_layer() const { return layers.back(); }
  // What the collected scores depend on: name and value, as the log carries them.
  boost::json::object collection() const;
};

// What is kept of one prompt besides the file of its scores.
struct CollectedPrompt {
  std::string id, group;
  int64_t tokens = 0, answer_tokens = 0;
  std::string answer;
  std::string file;                              // of the scores, in the folder of the study
  std::vector<int32_t> wanted;                   // the oracle's best tokens, ascending
  std::vector<std::vector<double>> head_recall;  // [layers][query heads], of each head alone
};

boost::json::object to_json(const CollectedPrompt& prompt);
// Throws Error{kCorruptFile} naming the field that is missing or of the wrong type.
CollectedPrompt collected_from_json(const boost::json::object& json);

// Sorts the candidates, or fills them in: half of the depth, as the paper, and three fifths. Throws
// Error{kInvalidArgument} for layers that the model lacks or cannot select at.
void set_layers(CalibrateOptions& options, const ModelSummary& model);
// Runs the prompt and its answer, and writes the scores of the layers up to the last candidate to
// `folder`/`file`. Memory: these scores as half floats. Throws Error{kContextExceeded}; {kInvalidArgument}
// for a prompt of less than two windows, where nothing is left to rank.
CollectedPrompt collect_prompt(Engine& engine, const StudyPrompt& prompt, const CalibrateOptions& options,
                               const std::filesystem::path& folder, const std::string& file,
                               const std::atomic<bool>* cancel);

// Name of the file of a prompt's scores: of its content, so that a changed prompt is collected anew.
std::string scores_file(const StudyPrompt& prompt);

// Opens the scores of what was collected; a ranking may name `budget`, a rate, of the tokens.
std::vector<SelectionPrompt> selection_prompts(const std::vector<CollectedPrompt>& collected,
                                               const CalibrateOptions& options, double budget,
                                               const std::filesystem::path& folder);

Profile make_profile(const ModelSummary& model, const CalibrateOptions& options,
                     const std::vector<CollectedPrompt>& collected, const SelectionResult& result,
                     const std::optional<SelectionResult>& early);

// Mean over the prompts, [layers][query heads].
std::vector<std::vector<double>> mean_head_recall(const std::vector<CollectedPrompt>& collected);

}  // namespace claa::eval
