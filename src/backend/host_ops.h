// Score reductions, aggregation and top-k on host memory, shared by the backends that compute on the host.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace claa::host {

// Pooling with stride 1 and `kernel / 2` zeros on each side; the average divides by `kernel` at the edges
// too. Even kernels look one further to the left. in and out [tokens], distinct.
void pool(const float* in, int64_t tokens, PoolKind kind, int64_t kernel, float* out);

// Pools, weighs and reduces per-head rows. in [listed heads, rows, tokens] where the heads are spec.only in
// order, or all heads. Overwrites `in`.
void reduce_scores(std::span<float> in, int64_t heads, int64_t kv_heads, int64_t rows, int64_t tokens,
                   const ScoreSpec& spec, const Tensor& out);

void aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base, const Tensor& out);

void top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out);

}  // namespace claa::host
