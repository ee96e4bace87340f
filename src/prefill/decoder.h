// One decode step: a token in, the next logits out, through the same layer halves as prefill. Prefill's
// look-ahead and the generate loop share it.
#pragma once

#include <functional>
#include <vector>

#include "kv/cache.h"
#include "model/llama.h"
#include "model/rope.h"

namespace claa {

// Sees a fed token's rotated query [1, heads * head_size] and the layer's K and V, its own included.
using QueryObserver = std::function<void(int64_t layer, const Tensor& q, const KvView& kv)>;

// Where a layer's query [1, heads * head_size] shall lie: memory of the caller's, or `own`, which the next
// layer overwrites.
using QueryPlace = std::function<Tensor(int64_t layer, const Tensor& own)>;

class Decoder {
 public:
  // `cache` comes from a prefill; the rope table must cover every position that will be fed.
  Decoder(const LlamaModel& model, const RopeTables& rope, KvCache& cache);
  // Logits [vocabulary] after `token`, which takes position cache.next_position. Valid until the next call.
  const std::vector<float>& step(int32_t token, const QueryObserver& observe = {},
                                 const QueryPlace& place = {});

 private:
  // The operations of a step. The caches' rows are counted by the caller, as a device may want them twice.
  void feed(int32_t token, std::span<const KvView> caches, const QueryObserver& observe,
            const QueryPlace& place);

  const LlamaModel& model_;
  const RopeTables& rope_;
  KvCache& cache_;
  Workspace work_;
  Buffer hidden_memory_, logits_memory_;
  std::vector<float> logits_;
};

}  // namespace claa
