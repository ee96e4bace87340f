// One pass over layers for some of the prompt's tokens: the only loop over layers. A pass works in units, a
// chunk of rows of half a layer each, and moves forward only. What happens between the halves of a layer,
// when K, V and scores are known, is up to its kind.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kv/cache.h"
#include "prefill/layer_view.h"
#include "prefill/types.h"

namespace claa {

using Positions = std::shared_ptr<const std::vector<int32_t>>;

// The surroundings of every pass of a prefill; all of it outlives the pass.
struct PassContext {
  const Model& model;
  const PrefillOptions& options;
  const PromptInfo& info;
};

class Pass {
 public:
  virtual ~Pass() = default;
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  // Does one unit. False, and nothing is done, when the pass is over.
  bool step();
  // Logits [vocabulary] of the only row that the last layer leaves.
  std::vector<float> logits();

 protected:
  // Embeds `ids`, one per position, to start at layer 0. The pass ends after `last_layer`.
  Pass(const PassContext& context, std::span<const int32_t> ids, std::vector<int32_t> positions,
       int64_t last_layer);
  // Starts in the second half of the layer at which `outer` stands, with copies of the live rows in `kept`.
  Pass(const Pass& outer, const KeepSet& kept);

  // Between the halves of a layer; may call keep_rows(). False: the pass is over.
  virtual bool decide(RunnerLayerView& view) = 0;
  // True when all live rows go on, so that their queries may be projected before decide().
  virtual bool keeps_all_rows(int64_t layer) const = 0;
  // Only these live rows go on; `indices`: the same on the device, or no data.
  void keep_rows(const std::vector<int32_t>& rows, Tensor indices);

  const PassContext& context() const { return context_; }
  int64_t layer() const { return layer_; }
  int64_t last_layer() const { return last_layer_; }
  int64_t live() const { return live_; }
  const Positions& positions() const { return positions_; }
  const KvView& kv() const { return kv_; }
  // Stores the layer as it is, all of its rows, or its state; nothing where it reads another's K and V.
  void store_all(KvCache& cache);
  // True where no later layer reads another row than the last: behind the last layer with K and V of its own.
  bool only_last_row_goes_on() const { return layer_ >= last_read_layer_; }

 private:
  enum class Half { kFirst, kSecond };
  // K and V that later layers read too, and the positions of their rows.
  struct HeldKv {
    Buffer k, v;
    KvView kv;
    Positions positions;
  };

  Backend& backend() const { return context_.model.backend(); }
  const ModelConfig& config() const { return context_.model.config(); }
  std::span<const int32_t> positions_of(int64_t row, int64_t rows) const;
  VisibleSlots visible(int64_t row, int64_t rows) const;
  void find_visible(const std::vector<int32_t>& stored);
  void take_rows(const Tensor& from, const std::vector<int32_t>& rows, Tensor indices);
  KvView allocate_kv(Buffer& k, Buffer& v, int64_t values) const;
  void begin_kv();
  void project_chunk();
  void recur_chunk();
  void project_all_queries();
  bool between_halves();
  void attend(int64_t row, const Tensor& hidden);
  void finish_chunk();

  PassContext context_;
  int64_t last_layer_;
  int64_t last_read_layer_;  // the last whose second half more than one row goes through, if they live
  int64_t layer_ = 0;
  Half half_ = Half::kFirst;
  int64_t row_ = 0;           // the next one of this half
  int64_t live_;              // rows of the residual stream
  int64_t entered_ = 0;       // rows that entered the layer
  Positions positions_;       // of the live rows
  std::vector<int32_t> ids_;  // of the live rows
  std::shared_ptr<const RopeTables> rope_;
  Workspace work_;
  Buffer hidden_memory_, k_memory_, v_memory_;
  Tensor hidden_;  // [live, hidden] f32, the residual stream
  // Of this layer: [KV heads, live, head size], or those of an earlier one; in a recurrent one only its
  // length.
  KvView kv_;
  std::vector<std::shared_ptr<const HeldKv>> held_;  // by layer, where later ones read
  RecurrentState state_;                             // of this layer, if it is recurrent
  // [live, hidden] the norms that K and V came from, where one chunk holds them; else no data.
  Tensor normed_;
  Tensor queries_;  // [live, heads * head_size] where they are known before decide(); else no data
  std::unique_ptr<PackedKv> packed_memory_;
  const PackedKv* packed_ = nullptr;
  std::vector<int32_t> visible_;  // keys up to the last one that each live row sees
  std::vector<int32_t> first_;    // the first of them, in a layer with a sliding window; else empty
};

// All tokens of a prompt through layers [0, last_layer], each shown; the last one is not finished and nothing
// is stored.
class PreviewPass : public Pass {
 public:
  PreviewPass(const PassContext& context, int last_layer, std::function<void(LayerView&)> observe);

 private:
  bool decide(RunnerLayerView& view) override;
  bool keeps_all_rows(int64_t /*layer*/) const override { return false; }
  std::function<void(LayerView&)> observe_;
};

// A pass to the last layer in which every row lives on and is stored in `cache`.
class StoringPass : public Pass {
 public:
  // All tokens of a prompt, each layer shown to `observe`: `full`, with observers.
  StoringPass(const PassContext& context, KvCache& cache, std::function<void(LayerView&)> observe);
  // The rest of a prefill as if only the live rows in `kept` went on from the layer at which `outer` decides,
  // to draft from.
  StoringPass(const Pass& outer, const KeepSet& kept, KvCache& cache) : Pass(outer, kept), cache_(cache) {}

 private:
  bool decide(RunnerLayerView& view) override;
  bool keeps_all_rows(int64_t /*layer*/) const override { return !only_last_row_goes_on(); }
  KvCache& cache_;
  std::function<void(LayerView&)> observe_;  // may be empty
};

// Has the memory for a prompt's layers ready, before the first one, on devices with memory of their own.
// `cache_rows`: of a layer. Throws Error{kOutOfMemory} with the parts in numbers.
void reserve_memory(const PassContext& context, int64_t live,
                    const std::function<int64_t(int64_t)>& cache_rows);

}  // namespace claa
