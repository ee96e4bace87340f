// One decode step: a token in, the next logits out, through the same layer halves as prefill.
#pragma once

#include <vector>

#include "kv/cache.h"
#include "model/llama.h"
#include "model/rope.h"

namespace claa {

class Decoder {
 public:
  // `cache` comes from a prefill; the rope table must cover every position that will be fed.
  Decoder(const LlamaModel& model, const RopeTables& rope, KvCache& cache);
  // Logits [vocabulary] after `token`, which takes position cache.next_position. Valid until the next call.
  const std::vector<float>& step(int32_t token);

 private:
  const LlamaModel& model_;
  const RopeTables& rope_;
  KvCache& cache_;
  Workspace work_;
  Buffer hidden_memory_, logits_memory_;
  std::vector<float> logits_;
};

}  // namespace claa
