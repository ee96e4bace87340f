// The look-ahead of a ranker: the beginning of an answer, drafted from what was chosen first, looks back at
// the prompt through the layers that hold all of it.
#pragma once

#include "prefill/pass.h"

namespace claa {

// Feeds greedy tokens, at most `most`, the first by `logits` [vocabulary] of the last prompt token, until the
// answer ends, and shows their queries at layers [0, layer] to `listen`, unless there are none. The cache is
// as before then. Returns how many were fed.
int64_t listen_to_draft(const PassContext& context, int64_t layer, int64_t most, std::vector<float> logits,
                        KvCache& cache, const ListenToDraft& listen);

}  // namespace claa
