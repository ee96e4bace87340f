// A Llama-like model as two halves of a layer. It names no device and holds no state of a prompt: the loop
// over layers is the runner's (prefill/runner.h), and decode calls the same halves with one row.
#pragma once

#include <span>

#include "backend/backend.h"
#include "backend/device_rows.h"
#include "model/config.h"
#include "model/rope.h"
#include "model/weights.h"

namespace claa {

// Scratch for one chunk of rows; allocated once per prompt.
class Workspace {
 public:
  // Memory for backend.padded(rows) rows.
  Workspace(const ModelConfig& config, Backend& backend, int64_t rows);
  // Bytes of the memory of a workspace for `rows` rows.
  static size_t bytes_for(const ModelConfig& config, const DeviceRows& device, int64_t rows);
  int64_t rows() const { return rows_; }

  Tensor normed;     // [rows, hidden] type of linear layers' inputs; memory for the activation type
  Tensor wide;       // [rows, max(q, 2 kv)] wide type
  Tensor q;          // [rows, heads * head_size] activation type
  Tensor attention;  // [rows, heads * head_size] activation type
  Tensor gate_up;    // [rows, 2 * ffn] wide type
  Tensor gated;      // [rows, ffn] type of linear layers' inputs

 private:
  int64_t rows_;
  Buffer memory_;
};

class LlamaModel {
 public:
  LlamaModel(ModelConfig config, ModelWeights weights, Backend& backend)
      : config_(std::move(config)),
        weights_(std::move(weights)),
        backend_(backend),
        rope_(std::make_unique<RopeCache>()) {}

  const ModelConfig& config() const { return config_; }
  const ModelWeights& weights() const { return weights_; }
  ModelWeights& weights() { return weights_; }  // which load_weights() adds to, layer by layer
  Backend& backend() const { return backend_; }
  // Rotation of at least the positions [0, positions), at most the context. Whoever works with a table holds
  // it; a longer one is made when it is asked for. Calls from several threads are fine.
  std::shared_ptr<const RopeTables> rope(int64_t positions) const;

  // hidden [rows, hidden] f32 = embeddings of ids. Ids must be inside the vocabulary.
  void embed(std::span<const int32_t> ids, const Tensor& hidden) const;

  // First half: the layer's norm of `hidden` [rows <= workspace, hidden], which both projections read. It
  // lies in `work` until the next norm or feed-forward there.
  Tensor attention_norm(int64_t layer, const Tensor& hidden, Workspace& work) const;
  // First half: keys and values of normed rows into slots [slot, slot + rows) of `kv`.
  void project_kv(int64_t layer, const Tensor& normed, std::span<const int32_t> positions,
                  const RopeTable& rope, const KvView& kv, int64_t slot, Workspace& work) const;
  // First half: queries of normed rows, out [rows, heads * head_size], activation type.
  void project_q(int64_t layer, const Tensor& normed, std::span<const int32_t> positions,
                 const RopeTable& rope, const Tensor& out, Workspace& work) const;
  // Second half: attention of queries q, output projection and feed-forward, added to `hidden` in place.
  void finish(int64_t layer, const Tensor& q, const KvView& kv, const PackedKv* packed,
              std::span<const int32_t> visible, const Tensor& hidden, Workspace& work) const;
  // The parts of the second half: attention with the output projection, and the feed-forward.
  void attend(int64_t layer, const Tensor& q, const KvView& kv, const PackedKv* packed,
              std::span<const int32_t> visible, const Tensor& hidden, Workspace& work) const;
  void feed_forward(int64_t layer, const Tensor& hidden, Workspace& work) const;
  // logits [1, vocabulary] f32 of one row.
  void logits(const Tensor& hidden, const Tensor& out, Workspace& work) const;

 private:
  ModelConfig config_;
  ModelWeights weights_;
  Backend& backend_;
  std::unique_ptr<RopeCache> rope_;
};

}  // namespace claa
