// Top-k and gathers. All functions are asynchronous on `stream`; backend.h defines them.
#pragma once

#include "backend/cuda/view.h"

namespace claa::cuda {

// For each row of scores [rows, tokens], the `count` best by (score desc, index asc; NaN last), ascending by
// index, then tokens .. tokens + tail - 1. out is [rows, count + tail].
void select_best(const View& scores, int64_t count, int64_t tail, int32_t* out, cudaStream_t stream);

// out[r] = x[indices[r]], f32.
void gather_hidden(const View& x, const int32_t* indices, const View& out, cudaStream_t stream);

// to [planes, slots, columns] = rows `indices` of from; one list for all planes (list_stride 0) or one per
// plane.
void gather_planes(const View& from, const int32_t* indices, int64_t list_stride, int64_t count,
                   const View& to, cudaStream_t stream);

}  // namespace claa::cuda
