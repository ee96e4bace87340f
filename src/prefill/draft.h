// The look-ahead of a run that chooses twice: the beginning of an answer, drafted from what was chosen first,
// looks back at the prompt through the layers that hold all of it.
#pragma once

#include <vector>

#include "claa/prefill.h"
#include "kv/cache.h"
#include "model/llama.h"
#include "model/rope.h"
#include "prefill/runner.h"

namespace claa {

struct DraftPass {
  const LlamaModel& model;
  const RopeTables& rope;
  const PrefillOptions& options;
  const PromptInfo& info;
  int64_t layer;   // the last one that is shown
  int64_t tokens;  // at most, as far as the rope table reaches
};

// Feeds greedy tokens, the first by `logits` [vocabulary] of the last prompt token, until the answer ends,
// and shows their queries at layers [0, layer] to run.listen(), unless there are none. The cache is as before
// then.
void listen_to_draft(const DraftPass& pass, std::vector<float> logits, KvCache& cache, Run& run);

}  // namespace claa
