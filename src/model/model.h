// A model as two halves of a layer, as its layer specs say (spec.h). It names no device and holds no state of
// a prompt: the loop over layers is the runner's (prefill/runner.h), and decode calls the same halves with
// one row.
#pragma once

#include <span>

#include "backend/backend.h"
#include "model/config.h"
#include "model/rope.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace claa {

class Model {
 public:
  Model(ModelConfig config, ModelWeights weights, Backend& backend)
      : config_(std::move(config)),
        weights_(std::move(weights)),
        backend_(backend),
        rope_(std::make_unique<RopeCache>()) {}

  const ModelConfig& config() const { return config_; }
  const ModelWeights& weights() const { return weights_; }
  ModelWeights& weights() { return weights_; }  // which load_weights() adds to, layer by layer
  Backend& backend() const { return backend_; }
  // Rotation of at least the positions [0, positions), at most the context, for a prompt of `tokens`: some
  // models turn long prompts otherwise, and keep to it while they answer. Whoever works with a table holds
  // it; a longer one is made when it is asked for. Calls from several threads are fine.
  std::shared_ptr<const RopeTables> rope(int64_t positions, int64_t tokens) const;
  // What the attention of a layer does beside its products.
  SoftmaxRule softmax_rule(int64_t layer) const;

  // hidden [rows, hidden] f32 = embeddings of ids. Ids must be inside the vocabulary.
  void embed(std::span<const int32_t> ids, const Tensor& hidden) const;

  // First half: the layer's norm of `hidden` [rows <= workspace, hidden], or `hidden` itself where the layer
  // has none, as both projections read it. It lies in `work` until the next norm or feed-forward there.
  Tensor attention_norm(int64_t layer, const Tensor& hidden, Workspace& work) const;
  // First half, of a layer with K and V of its own: keys and values of normed rows into slots [slot, slot +
  // rows) of `kv`.
  void project_kv(int64_t layer, const Tensor& normed, std::span<const int32_t> positions,
                  const RopeTables& rope, const KvView& kv, int64_t slot, Workspace& work) const;
  // First half: queries of normed rows, out [rows, q_size(layer)], activation type.
  void project_q(int64_t layer, const Tensor& normed, std::span<const int32_t> positions,
                 const RopeTables& rope, const Tensor& out, Workspace& work) const;
  // Second half: attention of queries q, output projection and feed-forward, added to `hidden` in place.
  // `ids` are the tokens of the rows, which layers with inputs of their own look up again.
  void finish(int64_t layer, std::span<const int32_t> ids, const Tensor& q, const KvView& kv,
              const PackedKv* packed, const VisibleSlots& visible, const Tensor& hidden,
              Workspace& work) const;
  // The parts of the second half: attention with the output projection, and what comes after it.
  void attend(int64_t layer, const Tensor& q, const KvView& kv, const PackedKv* packed,
              const VisibleSlots& visible, const Tensor& hidden, Workspace& work) const;
  void feed_forward(int64_t layer, std::span<const int32_t> ids, const Tensor& hidden, Workspace& work) const;
  // The first half of a recurrent layer, which has nothing between its halves: what it gives is added to
  // `hidden` [rows <= workspace, hidden] in place, rows in the order of the sequence, and `state` is that
  // after them. The second half is feed_forward().
  void recur(int64_t layer, const DeltaState& state, const Tensor& hidden, Workspace& work) const;
  // logits [1, vocabulary] f32 of one row.
  void logits(const Tensor& hidden, const Tensor& out, Workspace& work) const;

 private:
  // Adds what the experts make of `hidden` to `out`, which may be `hidden`.
  void serve_by_experts(int64_t layer, const Tensor& hidden, const Tensor& out, Workspace& work) const;
  void serve_side_by_side(int64_t layer, const Tensor& hidden, Workspace& work) const;
  void add_inputs(int64_t layer, std::span<const int32_t> ids, const Tensor& hidden, Workspace& work) const;
  // hidden += what the expert that serves every row gives; x and `exact` are the norms of `hidden` before the
  // experts, as matrices read them and in the activation type.
  void serve_by_shared(int64_t layer, const Tensor& x, const Tensor& exact, const Tensor& hidden,
                       Workspace& work) const;
  // `hidden` as the matrices of a branch read it.
  Tensor normed(int64_t layer, Role norm, const Tensor& hidden, Workspace& work) const;
  // The same in the activation type, where `normed`, which was made of it, is coarser.
  Tensor unrounded(int64_t layer, Role norm, const Tensor& hidden, const Tensor& normed,
                   Workspace& work) const;
  // What the last matrix of the feed-forward reads.
  Tensor gated(int64_t layer, const Tensor& hidden, Workspace& work) const;
  // hidden += x W^T of a branch's last matrix, through the norm after it where the layer has one.
  void add_branch(int64_t layer, const Tensor& x, Role matrix, Role post_norm, const Tensor& hidden,
                  Workspace& work) const;

  ModelConfig config_;
  ModelWeights weights_;
  Backend& backend_;
  std::unique_ptr<RopeCache> rope_;
};

}  // namespace claa
