// The only loop over layers. It asks the method, applies the answer, and knows nothing of any method.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "claa/prefill.h"
#include "core/cancel.h"
#include "kv/cache.h"
#include "model/llama.h"
#include "model/rope.h"

namespace claa {

struct PrefillOptions {
  int64_t reserve = 64;                // free cache slots for decode
  const CancelFlag* cancel = nullptr;  // checked at every chunk of rows
  // (layer, layers, live rows done, live rows) after every chunk.
  std::function<void(int64_t, int64_t, int64_t, int64_t)> progress;
  const LlamaModel* drafter =
      nullptr;  // for look-ahead, with the model's own vocabulary; null: the model itself
  std::function<bool(int32_t)> ends_answer;  // whether a token ends a look-ahead; may be empty
  uint64_t model_fingerprint = 0;            // see gguf::weights_fingerprint()
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
  int64_t kept_tokens = 0;  // live in the last layer
  double select_ms = 0;     // scores, aggregation, top-k and gathers, and the draft of a look-ahead
  double entry_ms = 0;      // passes before the real one
};

// Runs a prompt of at least one token. Ids must be inside the vocabulary and the rope table must cover the
// prompt.
PrefillResult run_prefill(const LlamaModel& model, const RopeTables& rope, std::span<const int32_t> ids,
                          const Method& method, const PrefillOptions& options);

PromptInfo prompt_info(const ModelConfig& config, int64_t tokens);

}  // namespace claa
