// The contents of Scores and KeepSet: device tensors with their memory.
#pragma once

#include "backend/backend.h"

namespace claa {

struct Scores::Impl {
  Buffer memory;
  Tensor tensor;  // f32 [rows, tokens]
  Backend* backend = nullptr;
};

struct KeepSet::Impl {
  Buffer memory;
  Tensor tensor;  // i32 [rows, count]
  Backend* backend = nullptr;
};

// Uninitialised scores or sets for a backend to fill.
std::shared_ptr<Scores::Impl> make_scores(Backend& backend, int64_t rows, int64_t tokens);
std::shared_ptr<KeepSet::Impl> make_keep_set(Backend& backend, int64_t rows, int64_t count);

// The indices, or an empty tensor for "all", as gather_kv() takes them.
Tensor keep_set_tensor(const KeepSet& set);

}  // namespace claa
