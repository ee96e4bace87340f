// The LayerView that the runner hands to a method: window queries are projected on demand, so that a layer
// that drops tokens never computes the queries of those that go.
#pragma once

#include "claa/prefill.h"
#include "model/llama.h"

namespace claa {

class RunnerLayerView : public LayerView {
 public:
  RunnerLayerView(const LlamaModel& model, const RopeTable& rope, const PromptInfo& info, int64_t layer,
                  const Tensor& hidden, std::span<const int32_t> positions, const KvView& kv,
                  const PackedKv* packed, Workspace& work)
      : model_(model),
        rope_(rope),
        info_(info),
        layer_(layer),
        hidden_(hidden),
        positions_(positions),
        kv_(kv),
        packed_(packed),
        work_(work) {}
  // Queries of the last live tokens that are known already, [rows, heads * head_size], as many as any window:
  // then none are projected, and `hidden` may be empty.
  void set_queries(const Tensor& queries) { known_ = queries; }

  int layer() const override { return static_cast<int>(layer_); }
  const PromptInfo& prompt() const override { return info_; }
  int64_t live() const override { return kv_.length; }
  std::span<const int32_t> positions() const override { return positions_; }
  Scores put(std::span<const float> values) override;
  Scores scores(const ScoreSpec& spec) override;
  Scores aggregate(std::span<const Scores> layers, Aggregator aggregator, double base) override;
  KeepSet top_k(const Scores& scores, int64_t budget, int64_t forced_tail) override;
  KeepSet keep(std::vector<int32_t> indices) override;

 private:
  // Queries of the last `window` live tokens, [window, heads * head_size]. Those projected here are kept for
  // further specs of this layer with the same window alone: the rows of a wider one may differ in the last
  // bit.
  Tensor window_queries(int64_t window);

  const LlamaModel& model_;
  const RopeTable& rope_;
  const PromptInfo& info_;
  int64_t layer_;
  const Tensor& hidden_;
  std::span<const int32_t> positions_;
  const KvView& kv_;
  const PackedKv* packed_;  // may be null
  Workspace& work_;
  Tensor known_;  // set_queries()
  Buffer queries_memory_;
  Tensor queries_;  // projected for the last window asked for
};

}  // namespace claa
