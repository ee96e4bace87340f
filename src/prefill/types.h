// The options of a prefill and its result.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "claa/prefill.h"
#include "core/cancel.h"
#include "kv/cache.h"
#include "model/model.h"

namespace claa {

struct PrefillOptions {
  int64_t reserve = 64;                // free cache slots for decode
  const CancelFlag* cancel = nullptr;  // checked at every chunk of rows
  // (layer, layers, live rows done, live rows) after every chunk.
  std::function<void(int64_t, int64_t, int64_t, int64_t)> progress;
  // For look-ahead, with the model's own vocabulary; null: the model itself.
  const Model* drafter = nullptr;
  std::function<bool(int32_t)> ends_answer;  // whether a token ends a look-ahead; may be empty
  uint64_t model_fingerprint = 0;            // see gguf::weights_fingerprint()
  std::vector<TokenRange> protected_spans;   // ascending, disjoint, inside the prompt
  bool profiled = false;                     // whether a profile of this model says what is kept
  // Also computes the rows that no later layer reads, behind the last one with K and V of its own. Tests
  // compare: the logits are the same.
  bool every_row = false;
};

struct LayerRecord {
  int64_t live = 0;  // tokens that entered the layer
};

struct PrefillResult {
  std::unique_ptr<KvCache> cache;
  std::vector<float> logits;      // of the last prompt token, [vocabulary]
  std::vector<int32_t> selected;  // prompt positions still live after the last drop; empty: all
  std::vector<LayerRecord> layers;
  RunReport report;
  int64_t kept_tokens = 0;  // live in the last layer, or in the last one with K and V of its own
  double select_ms = 0;     // scores, aggregation, top-k and gathers, and the draft of a look-ahead
  double entry_ms = 0;      // the pass before the real one
};

PromptInfo prompt_info(const ModelConfig& config, int64_t tokens);

}  // namespace claa
