#include "eval/diagnosis/layer_rankings.h"

#include "backend/host_ops.h"
#include "core/usize.h"

namespace claa::eval {
namespace {

enum { kFastKv, kGemFilter, kClaaDeployed, kClaaAnalysis, kSum, kRankSum };
constexpr const char* kNames[] = {"fastkv", "gemfilter", "claa_deployed", "claa_analysis", "sum", "rank_sum"};

std::vector<Row> rows_of(const Scores& scores) {
  const std::vector<float> values = scores.to_host();
  std::vector<Row> rows;
  for (int64_t i = 0; i < scores.rows(); ++i) {
    const auto begin = values.begin() + i * scores.tokens();
    rows.emplace_back(begin, begin + scores.tokens());
  }
  return rows;
}

Row pooled(const Row& row, int64_t kernel) {
  Row result(row.size());
  host::pool(row.data(), static_cast<int64_t>(row.size()), PoolKind::kAverage, kernel, result.data());
  return result;
}

void accumulate(Row& to, const Row& from) {
  if (to.empty()) to.resize(from.size());
  for (size_t i = 0; i < from.size(); ++i) to[i] += from[i];
}

}  // namespace

RankingCollector::RankingCollector(const DiagnoseOptions& options) : options_(options) {
  for (const char* name : kNames) rankings_.heuristics.push_back({name, {}});
}

Row RankingCollector::aggregate(const std::deque<std::vector<Row>>& history, Aggregator aggregator) const {
  std::vector<std::vector<float>> flat;
  std::vector<Tensor> layers;
  const auto tokens = static_cast<int64_t>(history.front().front().size());
  for (const std::vector<Row>& rows : history) {
    flat.emplace_back();
    for (const Row& row : rows) flat.back().insert(flat.back().end(), row.begin(), row.end());
    layers.push_back(
        Tensor::matrix(flat.back().data(), DType::kF32, static_cast<int64_t>(rows.size()), tokens));
  }
  Row result(usize(tokens));
  constexpr double kBase = 1.3;
  host::aggregate(layers, aggregator, kBase, Tensor::matrix(result.data(), DType::kF32, 1, tokens));
  return result;
}

void RankingCollector::observe(LayerView& view) {
  ScoreSpec window;
  window.window = options_.window;
  window.pool = PoolKind::kNone;
  window.group = window.heads = Reduce::kKeep;
  std::vector<Row> heads = rows_of(view.scores(window));  // unpooled: pooling is linear and done twice below
  ScoreSpec gemfilter;
  gemfilter.window = 1;
  gemfilter.softmax = gemfilter.scale = gemfilter.drop_window = false;
  gemfilter.kernel = options_.gemfilter_kernel;
  gemfilter.heads = Reduce::kSum;
  add(kGemFilter, rows_of(view.scores(gemfilter)).front());

  const auto group = heads.size() / usize(view.prompt().kv_heads);
  std::vector<Row> groups(usize(view.prompt().kv_heads));
  Row sum;
  for (size_t h = 0; h < heads.size(); ++h) {
    accumulate(groups[h / group], pooled(heads[h], options_.deployed_kernel));
    heads[h] = pooled(heads[h], options_.kernel);
    accumulate(sum, heads[h]);
  }
  add(kFastKv, sum);
  const auto remember = [&](std::deque<std::vector<Row>>& history, std::vector<Row> rows) {
    history.push_back(std::move(rows));
    if (static_cast<int64_t>(history.size()) > options_.last_layers) history.pop_front();
  };
  remember(sums_, {std::move(sum)});
  remember(deployed_, std::move(groups));
  add(kClaaDeployed, aggregate(deployed_, Aggregator::kRawMax));
  // The analysis starts when it has n layers.
  const bool enough = static_cast<int64_t>(sums_.size()) == options_.last_layers;
  add(kClaaAnalysis, enough ? aggregate(sums_, Aggregator::kZscoreMax) : Row{});
  add(kSum, enough ? aggregate(sums_, Aggregator::kSum) : Row{});
  add(kRankSum, enough ? aggregate(sums_, Aggregator::kRankSum) : Row{});
  rankings_.heads.push_back(std::move(heads));
}

}  // namespace claa::eval
