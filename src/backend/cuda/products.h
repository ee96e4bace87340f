// Matrix products that the library is slower at or refuses, with weights in bf16 or f32. All are asynchronous
// on `stream`; shapes are those of ops.h.
#pragma once

#include "backend/cuda/view.h"

namespace claa::cuda {

// out = x W^T (+ out) for one row, where gemv_fits(): at the speed of the memory that holds W.
void gemv(const View& x, const View& weight, const View& out, bool accumulate, cudaStream_t stream);
bool gemv_fits(const View& x, const View& weight);
// out = x W^T (+ out); one thread per value, for shapes that the library refuses.
void linear_naive(const View& x, const View& weight, const View& out, bool accumulate, cudaStream_t stream);

}  // namespace claa::cuda
