// One decode step: a token in, the next logits out, through the same layer halves as prefill. Prefill's
// look-ahead and the generate loop share it.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "kv/cache.h"
#include "model/model.h"

namespace claa {

// Sees a fed token's rotated query [1, heads * head_size] and the layer's K and V, its own included, in
// layers that have some. Both are valid during the call.
using QueryObserver = std::function<void(int64_t layer, const Tensor& q, const KvView& kv)>;

// The most likely token; of equal ones the lowest id.
int32_t greedy_token(std::span<const float> logits);

// Throws kUnsupported for logits that are no numbers: no token can be chosen by them.
void check_logits(std::span<const float> logits);

class Decoder {
 public:
  // `cache` comes from a prefill.
  Decoder(const Model& model, KvCache& cache);
  // Logits [vocabulary] after `token`, which takes position cache.next_position, inside the context. Valid
  // until the next call.
  const std::vector<float>& step(int32_t token, const QueryObserver& observe = {});

 private:
  // The operations of a step. A backend may run them twice (Backend::repeat), so they change nothing of the
  // caller's: the caches' rows are counted by step().
  void feed(int32_t token, std::span<const KvView> caches, const QueryObserver& observe);

  const Model& model_;
  KvCache& cache_;
  const int64_t prompt_;  // tokens
  std::shared_ptr<const RopeTables> rope_;
  Workspace work_;
  Buffer hidden_memory_, logits_memory_;
  std::vector<float> logits_;
};

}  // namespace claa
