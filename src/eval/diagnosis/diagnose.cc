#include "eval/diagnosis/diagnose.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/counts.h"
#include "core/usize.h"
#include "eval/diagnosis/layer_rankings.h"
#include "eval/stats/statistics.h"

namespace claa::eval {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kOracleBest = 0.05;  // share of the tokens, best by the oracle, that a head should find
constexpr double kHeadBest = 0.2;     // a head should find them among this share, best by its own scores

std::vector<int32_t> best_tenth(std::span<const float> scores) {
  return top_indices(scores, top_tenth(static_cast<int64_t>(scores.size())));
}

// The oracle's ranking cut to the length of another one, with derived values that are needed often.
struct Reference {
  Reference(std::span<const float> scores, size_t tokens)
      : ranks(average_ranks(scores.first(tokens))), best(best_tenth(scores.first(tokens))) {}
  std::vector<double> ranks;
  std::vector<int32_t> best;
};

std::vector<double> relative_positions(const std::vector<int32_t>& indices, size_t tokens) {
  std::vector<double> positions;
  const double last = std::max<double>(1, static_cast<double>(tokens) - 1);
  for (const int32_t i : indices) positions.push_back(i / last);
  return positions;
}

HeuristicCurve curve_of(const LayerRankings::Heuristic& heuristic, const Reference& reference,
                        int fixed_layer) {
  HeuristicCurve curve;
  curve.name = heuristic.name;
  std::vector<double> before;
  for (size_t layer = 0; layer < heuristic.layers.size(); ++layer) {
    const Row& row = heuristic.layers[layer];
    if (row.empty()) {
      for (std::vector<double>* values : {&curve.spearman, &curve.jaccard, &curve.stability})
        values->push_back(kNone);
      continue;
    }
    std::vector<double> ranks = average_ranks(row);
    const std::vector<int32_t> best = best_tenth(row);
    curve.spearman.push_back(pearson(reference.ranks, ranks));
    curve.jaccard.push_back(jaccard(best, reference.best));
    curve.stability.push_back(before.empty() ? kNone : pearson(before, ranks));
    if (static_cast<int>(layer) == fixed_layer) curve.positions = relative_positions(best, row.size());
    before = std::move(ranks);
  }
  curve.exit_layer = adaptive_exit_layer(curve.stability);
  return curve;
}

// One ranking for the whole model, drawn as a horizontal line.
HeuristicCurve look_ahead_curve(const Row& scores, const Reference& reference, size_t layers) {
  HeuristicCurve curve;
  curve.name = "specprefill";
  curve.horizontal = true;
  const std::vector<int32_t> best = best_tenth(scores);
  curve.spearman.assign(layers, pearson(reference.ranks, average_ranks(scores)));
  curve.jaccard.assign(layers, jaccard(best, reference.best));
  curve.stability.assign(layers, kNone);
  curve.positions = relative_positions(best, scores.size());
  return curve;
}

std::vector<std::vector<double>> head_recalls(const LayerRankings& rankings, std::span<const float> oracle) {
  const auto tokens = static_cast<int64_t>(rankings.heads.front().front().size());
  const std::vector<int32_t> wanted = top_indices(oracle.first(usize(tokens)), share(tokens, kOracleBest));
  std::vector<std::vector<double>> recalls;
  for (const std::vector<Row>& heads : rankings.heads) {
    std::vector<double>& layer = recalls.emplace_back();
    for (const Row& head : heads)
      layer.push_back(recall(wanted, top_indices(head, share(tokens, kHeadBest))));
  }
  return recalls;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> DiagnoseOptions::show() const {
  return {{"window", std::to_string(window)},
          {"kernel", std::to_string(kernel)},
          {"deployed_kernel", std::to_string(deployed_kernel)},
          {"gemfilter_kernel", std::to_string(gemfilter_kernel)},
          {"last_layers", std::to_string(last_layers)},
          {"look_ahead", std::to_string(look_ahead)},
          {"answer_tokens", std::to_string(answer_tokens)},
          {"answer", use_gold ? "gold" : "own"},
          {"fixed_layer", std::to_string(fixed_layer)}};
}

PromptDiagnosis diagnose_prompt(Engine& engine, const StudyPrompt& prompt, const DiagnoseOptions& options,
                                const std::atomic<bool>* cancel) {
  check_every_layer_ranks(engine.model());
  OracleRequest request = oracle_request(prompt, options.use_gold, options.answer_tokens, cancel);
  request.look_ahead.emplace();
  request.look_ahead->steps = options.look_ahead;
  request.look_ahead->kernel = options.deployed_kernel;
  RankingCollector collector(options);
  request.on_layer = [&](LayerView& view) {
    if (view.live() <= options.window) {
      fail(
          ErrorCode::kInvalidArgument,
          "prompt '{}' has {} tokens, no more than the window of {}; leave it out or choose a smaller window",
          prompt.id, group_digits(view.live()), options.window);
    }
    collector.observe(view);
  };
  const OracleResult oracle = engine.oracle(request);
  const LayerRankings rankings = collector.take();
  const std::span<const float> scores = oracle.ranking.scores;
  const Reference whole(scores, scores.size()), windowed(scores, rankings.heads.front().front().size());

  PromptDiagnosis diagnosis;
  diagnosis.id = prompt.id;
  diagnosis.group = prompt.group;
  diagnosis.task = prompt.task;
  diagnosis.tokens = oracle.answer.prompt_tokens;
  diagnosis.answer_tokens = static_cast<int64_t>(oracle.answer.tokens.size());
  diagnosis.answer = oracle.answer.text;
  const int layers = static_cast<int>(engine.model().layers);
  diagnosis.fixed_layer = options.fixed_layer >= 0 ? options.fixed_layer : std::max(0, layers / 2 - 1);
  for (const LayerRankings::Heuristic& heuristic : rankings.heuristics) {
    const bool all = heuristic.layers.back().size() == scores.size();
    diagnosis.heuristics.push_back(curve_of(heuristic, all ? whole : windowed, diagnosis.fixed_layer));
  }
  diagnosis.heuristics.push_back(look_ahead_curve(oracle.look_ahead, whole, usize(layers)));
  diagnosis.oracle_positions = relative_positions(whole.best, scores.size());
  diagnosis.head_recall = head_recalls(rankings, scores);
  return diagnosis;
}

}  // namespace claa::eval
