// Window scores and their aggregation. All functions are asynchronous on `stream`; backend.h and
// backend/host_ops.h define them.
#pragma once

#include "backend/cuda/view.h"

namespace claa::cuda {

// Query rows of some heads against the keys of their KV heads.
struct WindowQuery {
  View q;                          // [window, heads * head size]
  View k;                          // [KV heads, slots, head size]
  const int32_t* heads = nullptr;  // indices of the listed query heads, on the device
  int64_t listed = 0;
  int64_t group = 1;   // query heads per KV head
  int64_t length = 0;  // valid keys
  float scale = 1;
  float soft_cap = 0;            // of logits that go through a softmax; 0: none
  const float* sinks = nullptr;  // [query heads] on the device; null: none
};

// logits [listed, window, length]: q.k * scale, with a soft cap.
void window_logits(const WindowQuery& query, float* logits, cudaStream_t stream);

// per_head [listed, rows, tokens], rows = window when `rows` keeps, else 1: softmax over the keys that a row
// sees (or the raw logits, -inf where it sees none), folded over the window's rows.
void fold_window(const WindowQuery& query, const float* logits, bool softmax, Fold rows, int64_t tokens,
                 float* per_head, cudaStream_t stream);

// out = pooled in, [rows, tokens] each.
void pool_rows(const float* in, int64_t rows, int64_t tokens, bool average, int64_t kernel, float* out,
               cudaStream_t stream);

// factors[row] = weights[row / rows_a_head] / sum(row), 0 for a sum that is not positive.
void normalising_factors(const float* in, int64_t rows, int64_t rows_a_head, int64_t tokens,
                         const float* weights, float* factors, cudaStream_t stream);
// factors[row] = weights[row / rows_a_head].
void plain_factors(int64_t rows, int64_t rows_a_head, const float* weights, float* factors,
                   cudaStream_t stream);

struct HeadFold {
  int64_t listed = 0, rows = 1, tokens = 0;  // dimensions of per_head
  int64_t group = 1;                         // listed heads per group
  Fold groups = Fold::kSum, heads = Fold::kKeep;
  int64_t out_stride = 0;
};
// Weighted per_head [listed, rows, tokens] folded over groups, then heads; the score rows of one query row
// are adjacent.
void fold_heads(const float* per_head, const float* factors, const HeadFold& fold, float* out,
                cudaStream_t stream);

// out [1, tokens] = the fold of out and every row of layer [rows, tokens]. If `moments` (mean and inverse
// deviation per row) is not null, rows are standardised first.
void fold_layer(const View& layer, const double* moments, bool maximum, float* out, cudaStream_t stream);
void fill(float* out, int64_t count, float value, cudaStream_t stream);
// moments [rows, 2]: mean and 1 / (unbiased deviation + 1e-6); 0 and 1 for a single token.
void row_moments(const View& layer, double* moments, cudaStream_t stream);
// out -= weight * rank of scores [tokens], rank 0 for the best by (score desc, index asc).
void subtract_ranks(const float* scores, int64_t tokens, double weight, float* out, cudaStream_t stream);

}  // namespace claa::cuda
