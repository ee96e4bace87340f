// Chosen query heads as a method: one ranking of the prompt by a few heads, for live tokens and caches alike,
// with early drops, budgets from what the ranking says, and a look-ahead (docs/calibration.md).
#pragma once

#include <memory>
#include <string>

#include "claa/export.h"
#include "claa/ranker.h"

namespace claa {

// Parameters of a method by chosen heads, for its visit().
struct ChosenHeads {
  std::string heads, early_drops, early_heads;
  double mass = 0, mass_floor = 0.1;
  double min_confidence = 0, unsure_keep = 1;
  int64_t look_ahead = 0;
  double look_ahead_keep = 0.1;

  template <class Visitor>
  void visit_heads(Visitor& v) {
    v.text("heads", heads,
           "query heads that choose, as layer.head*weight separated by commas, instead of last_layers and "
           "aggregator; empty: all");
    v.text("early_drops", early_drops,
           "with heads: rates of the prompt that live on after layers before the selection layer, as "
           "layer:rate separated by commas");
    v.text("early_heads", early_heads, "query heads that choose at the early drops; empty: heads");
    v.number("mass", mass, 0, 1,
             "with heads: keep the fewest tokens with this share of the ranking's sum, and at most keep; 0: "
             "always keep");
    v.number("mass_floor", mass_floor, 0.0001, 1, "rate that mass never goes below");
    v.number("min_confidence", min_confidence, 0, 1,
             "with heads: where the ranking's confidence is lower, unsure_keep is kept; 0: never");
    v.number("unsure_keep", unsure_keep, 0.0001, 1,
             "rate to keep, if it is more than keep, below min_confidence; 1: drop nothing there");
    v.integer("look_ahead", look_ahead, 0, kMostLookAhead,
              "with heads: tokens of a drafted answer that observe the prompt too before the final choice");
    v.number("look_ahead_keep", look_ahead_keep, 0.0001, 1,
             "rate to keep while they are drafted, at most keep");
  }
};

// Throws Error{kInvalidArgument} naming `owner` for heads and drops that are malformed, before there is a
// model.
CLAA_API void check_text(std::string_view owner, const ChosenHeads& chosen);
// Throws Error{kInvalidArgument} for parameters that do not go together.
CLAA_API void check_together(std::string_view owner, const ChosenHeads& chosen);
// A run that chooses at `layer` by the heads, which must not be empty. Throws Error{kInvalidArgument} for
// heads that the model lacks and drops that nothing can choose for.
CLAA_API std::unique_ptr<Run> make_run(std::string_view owner, const PromptInfo& prompt, int layer,
                                       const SelectionParams& params, const ChosenHeads& chosen);

}  // namespace claa
