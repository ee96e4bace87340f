// FP8 (E4M3) with one scale per row: value = scale * stored. Asynchronous on `stream`.
#pragma once

#include "backend/cuda/view.h"

namespace claa::cuda {

// Rows of x as FP8, contiguous, each divided by scales[row] = largest magnitude / 448, the largest FP8
// number. A row of zeros has scale 1.
void quantize_rows(const View& x, void* out, float* scales, cudaStream_t stream);

// The same for the results of rms_norm() and gate() (ops.h), which never leave the registers in a wider
// type.
void rms_norm_fp8(const View& x, const float* weight, float eps, void* out, float* scales,
                  cudaStream_t stream);
void gate_fp8(const View& gate_up, Activation activation, void* out, float* scales, cudaStream_t stream);

// out = x W^T (+ out) for one row at the speed of the memory that holds W, where gemv_fp8_fits(). x is bf16,
// or FP8 with a scale; w is FP8 [out.columns, inputs] with one scale per row; x and w are contiguous.
struct Fp8Row {
  const void* x = nullptr;
  const float* scale = nullptr;  // for FP8; null: bf16
};
bool gemv_fp8_fits(const Fp8Row& row, const void* w, int64_t inputs);
void gemv_fp8(const Fp8Row& row, const void* w, const float* w_scales, int64_t inputs, const View& out,
              bool accumulate, cudaStream_t stream);

// out[r, o] = x_scales[r] * w_scales[o] * sum_i x[r, i] w[o, i] (+ out); x and w are FP8, contiguous. One
// thread per value, for shapes that the library refuses.
void linear_fp8_naive(const void* x, const float* x_scales, const void* weight, const float* w_scales,
                      int64_t inputs, const View& out, bool accumulate, cudaStream_t stream);

}  // namespace claa::cuda
