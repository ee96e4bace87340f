// Every heuristic's ranking at every layer of one prompt, from a single pass, against the oracle of its
// answer.
#pragma once

#include "claa/engine.h"
#include "eval/diagnosis/diagnosis.h"
#include "eval/study/prompts.h"

namespace claa::eval {

struct DiagnoseOptions {
  int64_t window = 8;           // number of observers
  int64_t kernel = 13;          // pooling of the analysis' rankings (spec.md 9.1)
  int64_t deployed_kernel = 7;  // pooling of CLAA and SpecPrefill as they run
  int64_t gemfilter_kernel = 5;
  int64_t last_layers = 4;     // the paper's n
  int64_t look_ahead = 8;      // draft tokens of SpecPrefill; the model drafts for itself
  int64_t answer_tokens = 64;  // longest answer
  bool use_gold = false;       // the right answer, teacher forced, where a prompt has one
  int fixed_layer = -1;        // for positions and adaptive exit; -1: the layer at half depth

  // Name and value of each option, as reports and results store them.
  std::vector<std::pair<std::string, std::string>> show() const;
};

// Throws Error{kContextExceeded} and {kInvalidArgument} for prompts that the model or the window cannot take.
PromptDiagnosis diagnose_prompt(Engine& engine, const StudyPrompt& prompt, const DiagnoseOptions& options,
                                const std::atomic<bool>* cancel);

}  // namespace claa::eval
