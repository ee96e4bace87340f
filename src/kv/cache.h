// The KV cache of one prompt, and the states of its recurrent layers: every layer has its own length, every
// KV head its own rows, every row knows its position. The next position is stored, never inferred from a
// length. Heads of one layer have equal lengths. A layer that reads K and V of an earlier one shares what
// that one stores: only the earlier one stores, cuts and appends.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/usize.h"
#include "model/config.h"
#include "model/recurrent_state.h"

namespace claa {

class KvCache {
 public:
  KvCache(const ModelConfig& config, Backend& backend);

  // Stores the kept rows of a layer's K and V; `positions` are those of the live tokens, shared between
  // layers. Room for `reserve` further tokens is kept free.
  void store(int64_t layer, const KvView& live, const KeepSet& kept,
             std::shared_ptr<const std::vector<int32_t>> positions, int64_t reserve);

  // Cuts a layer, which stores all of the live tokens at `positions`, to the kept rows.
  void cut(int64_t layer, const KeepSet& kept, const std::shared_ptr<const std::vector<int32_t>>& positions,
           int64_t reserve);

  // Takes over the state of a recurrent layer after the rows of the prompt.
  void store(int64_t layer, RecurrentState state);

  // A view for one appended row: slot length() of the view is free. Grows the layer when it is full. Nothing
  // for a recurrent layer.
  KvView view(int64_t layer);
  // The state of a recurrent layer, which an appended row changes; nothing for others.
  const DeltaState& state(int64_t layer) const { return layers_[usize(layer)].state.view; }
  // Counts the row written to slot length(layer) by the caller, at next_position(). Does nothing for a layer
  // that shares another's.
  void appended(int64_t layer);

  // The first slot that the token at next_position sees in a layer whose window is that many positions. The
  // layer stores all of its live tokens.
  int64_t first_in_window(int64_t layer, int64_t window) const;

  // A point to which restore() goes back after rows have been appended: lengths, and copies of the recurrent
  // states. K and V of the rows before it must still be there.
  struct Snapshot {
    int64_t next_position = 0;
    std::vector<int64_t> lengths;        // by layer
    std::vector<RecurrentState> states;  // of the recurrent layers
    size_t bytes() const;
  };
  Snapshot snapshot() const;
  void restore(const Snapshot& snapshot);

  // Rows of K and V; none in a recurrent layer.
  int64_t length(int64_t layer) const { return at(layer).length; }
  int64_t layers() const { return static_cast<int64_t>(layers_.size()); }
  // Prompt positions of the rows stored by store(), ascending; one list when all heads share it.
  std::vector<std::vector<int32_t>> prompt_positions(int64_t layer) const;
  bool kept_all(int64_t layer) const { return at(layer).kept.all(); }

  int64_t next_position = 0;
  size_t bytes() const;

 private:
  struct Layer {
    int64_t source = 0;  // the layer that stores for this one, itself in most models
    int64_t kv_heads = 0, head_size = 0;
    Buffer k, v;
    int64_t capacity = 0;
    int64_t length = 0;
    RecurrentState state;
    KeepSet kept;
    std::shared_ptr<const std::vector<int32_t>> positions;
  };
  KvView view_of(const Layer& layer) const;
  void allocate(Layer& layer, int64_t capacity);

  bool recurrent(const Layer& layer) const { return layer.state.memory.data() != nullptr; }
  const Layer& at(int64_t layer) const { return layers_[usize(layers_[usize(layer)].source)]; }
  Layer& at(int64_t layer) { return layers_[usize(layers_[usize(layer)].source)]; }
  Layer& own(int64_t layer);

  DeltaSpec delta_;
  Backend& backend_;
  std::vector<Layer> layers_;
};

}  // namespace claa
