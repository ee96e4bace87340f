// FP8 (E4M3) with a scale a row: value = scale * stored. Asynchronous on `stream`.
#pragma once

#include "backend/cuda/view.h"

namespace claa::cuda {

// Rows of x as FP8, contiguous, each divided by scales[row] = largest magnitude / 448, the largest FP8
// number. A row of zeros has scale 1.
void quantize_rows(const View& x, void* out, float* scales, cudaStream_t stream);

// out[r, o] = x_scales[r] * w_scales[o] * sum_i x[r, i] w[o, i] (+ out); x, w FP8, contiguous. One thread a
// value, for shapes that the library refuses.
void linear_fp8_naive(const void* x, const float* x_scales, const void* weight, const float* w_scales,
                      int64_t inputs, const View& out, bool accumulate, cudaStream_t stream);

}  // namespace claa::cuda
