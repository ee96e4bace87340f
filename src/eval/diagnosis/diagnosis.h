// The measurements of `claa diagnose` on one prompt: each heuristic's ranking of the prompt's tokens, layer
// by layer, against the Answer-Informed Oracle (spec.md 8, 9).
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace claa::eval {

// A ranking of the prompt's tokens at every layer. Vectors have one value per layer; NaN where there is none
// (fewer layers than an aggregation needs, a constant ranking).
struct HeuristicCurve {
  std::string name;         // stable, for files: "fastkv", "claa_deployed", ...
  bool horizontal = false;  // one ranking for the whole model (specprefill): all layers hold the same value
  std::vector<double> spearman;   // rank correlation with the oracle
  std::vector<double> jaccard;    // best 10 % against the oracle's best 10 %
  std::vector<double> stability;  // Spearman with the layer before; NaN at layer 0
  int exit_layer =
      -1;  // layer at which the adaptive-exit rule stops (spec.md 9.2); -1: not for this heuristic
  std::vector<double>
      positions;  // at the fixed layer: where in the prompt the best 10 % lie, 0..1, ascending
};

struct PromptDiagnosis {
  std::string id;      // unique in a run
  std::string group;   // task group: curves are averaged over its prompts
  std::string task;    // data set or task family
  int64_t tokens = 0;  // prompt tokens
  int64_t answer_tokens = 0;
  std::string answer;
  int fixed_layer = 0;  // the selection layer that adaptive exit and positions are compared at
  std::vector<HeuristicCurve> heuristics;
  std::vector<double> oracle_positions;  // where in the prompt the oracle's best 10 % lie, 0..1, ascending
  std::vector<std::vector<double>> head_recall;  // [layers][query heads]: share of the oracle's best 5 %
                                                 // among the head's best 20 %
};

boost::json::object to_json(const PromptDiagnosis& diagnosis);  // NaN becomes null
// Throws Error{kCorruptFile} naming the field that is missing or of the wrong type.
PromptDiagnosis diagnosis_from_json(const boost::json::value& json);

}  // namespace claa::eval
