// The LayerView that a pass hands to a method: window queries are projected on demand, so that a layer that
// drops tokens never computes the queries of those that go.
#pragma once

#include "claa/prefill.h"
#include "model/model.h"

namespace claa {

using ListenToDraft = std::function<void(LayerView&, int64_t fed)>;

// Where a pass stands between the halves of a layer.
struct LayerState {
  const Model& model;
  const RopeTables& rope;
  const PromptInfo& info;
  int64_t layer;
  std::span<const int32_t> positions;  // of the live tokens
  const KvView& kv;
  const PackedKv* packed;  // may be null
  Workspace& work;
  Tensor hidden;  // [live, hidden]; no data: no queries can be projected
  Tensor normed;  // [live, hidden] its norms, where one chunk holds them all; else no data
};

class RunnerLayerView : public LayerView {
 public:
  explicit RunnerLayerView(const LayerState& state) : state_(state) {}
  // Queries of the last live tokens that are known already, [rows, heads * head_size], as many as any window:
  // then none are projected.
  void set_queries(const Tensor& queries) { known_ = queries; }
  // The pass's way to draft; without it, draft() is refused.
  void set_draft(std::function<int64_t(const KeepSet&, int64_t, const ListenToDraft&)> draft) {
    draft_ = std::move(draft);
  }

  int layer() const override { return static_cast<int>(state_.layer); }
  const PromptInfo& prompt() const override { return state_.info; }
  int64_t live() const override { return state_.kv.length; }
  std::span<const int32_t> positions() const override { return state_.positions; }
  Scores put(std::span<const float> values) override;
  Scores scores(const ScoreSpec& spec) override;
  Scores aggregate(std::span<const Scores> layers, Aggregator aggregator, double base) override;
  KeepSet top_k(const Scores& scores, int64_t budget, int64_t forced_tail) override;
  KeepSet keep(std::vector<int32_t> indices) override;
  int64_t draft(const KeepSet& kept, int64_t tokens, const ListenToDraft& listen) override;

 private:
  // Queries of the last `window` live tokens, [window, heads * head_size]. Those projected here are kept for
  // further specs of this layer with the same window alone: the rows of a wider one may differ in the last
  // bit.
  Tensor window_queries(int64_t window);
  // Indices of the live tokens that are protected, ascending.
  std::vector<int32_t> protected_indices() const;

  LayerState state_;
  Tensor known_;  // set_queries()
  Buffer queries_memory_;
  Tensor queries_;  // projected for the last window asked for
  std::function<int64_t(const KeepSet&, int64_t, const ListenToDraft&)> draft_;
};

}  // namespace claa
