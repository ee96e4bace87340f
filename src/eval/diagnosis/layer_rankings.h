// The rankings of spec.md 9.1 at every layer, collected during one prefill: scores once per query head and
// layer, everything else on the host.
#pragma once

#include <deque>
#include <vector>

#include "claa/prefill.h"
#include "eval/diagnosis/diagnose.h"

namespace claa::eval {

using Row = std::vector<float>;

struct LayerRankings {
  struct Heuristic {
    std::string name;
    std::vector<Row> layers;  // [layers][tokens]; empty where the ranking does not exist yet
  };
  std::vector<Heuristic> heuristics;
  std::vector<std::vector<Row>> heads;  // [layers][query heads][tokens before the window]
};

class RankingCollector {
 public:
  explicit RankingCollector(const DiagnoseOptions& options);
  void observe(LayerView& view);
  LayerRankings take() { return std::move(rankings_); }

 private:
  // Aggregates the scores of the last n layers, oldest first; each is [rows, tokens].
  Row aggregate(const std::deque<std::vector<Row>>& history, Aggregator aggregator) const;
  void add(size_t heuristic, Row row) { rankings_.heuristics[heuristic].layers.push_back(std::move(row)); }

  DiagnoseOptions options_;
  LayerRankings rankings_;
  std::deque<std::vector<Row>> sums_;      // [1][tokens] for each of the last n layers: sums over heads
  std::deque<std::vector<Row>> deployed_;  // [kv heads][tokens] for each of the last n layers
};

}  // namespace claa::eval
