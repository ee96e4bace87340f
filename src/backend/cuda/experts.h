// The choice of experts, rows on their way to and from them, and products of few rows with the experts that
// they chose. Shapes are those of ops.h; all functions are asynchronous on `stream`.
#pragma once

#include "backend/cuda/view.h"

namespace claa::cuda {

// ids and weights [rows, used] from logits [rows, experts].
void choose_rows(const View& logits, int64_t used, int32_t* ids, float* weights, cudaStream_t stream);

// out[i] = x[rows[i]], rows of `row_bytes` bytes that lie one after another; likewise their scales, one per
// row, where there are any.
struct ByteRows {
  const void* x = nullptr;
  const float* scales = nullptr;
  void* out = nullptr;
  float* out_scales = nullptr;
  int64_t row_bytes = 0;
};
void gather_byte_rows(const ByteRows& move, const int32_t* rows, int64_t count, cudaStream_t stream);
// out[rows[i]] += weights[i] * x[i].
void add_weighted_rows(const View& x, const int32_t* rows, const float* weights, const View& out,
                       cudaStream_t stream);

// The weight of one expert: f32, bf16, or FP8 with one scale per output.
struct ExpertMatrix {
  const void* values = nullptr;
  const float* scales = nullptr;
};
enum class ExpertType { kF32, kBf16, kFp8 };

struct FewRows {
  ExpertType type = ExpertType::kF32;  // of the weights, and of x
  const void* x = nullptr;             // [rows, hidden]
  const float* x_scales = nullptr;     // [rows] for FP8
  const ExpertMatrix* gate_up = nullptr;
  const ExpertMatrix* down = nullptr;
  const float* gate_up_bias = nullptr;  // null: none
  const float* down_bias = nullptr;
  const int32_t* ids = nullptr;
  const float* weights = nullptr;
  void* gated = nullptr;  // memory for [rows * used, width]: f32 with weights of f32, else bf16
  float* out = nullptr;   // [rows, hidden], contiguous
  int64_t rows = 0, used = 0, hidden = 0, width = 0;
  Activation activation = Activation::kSilu;
};
// out[r] += the sum of weights[r, i] times what expert ids[r, i] makes of x[r].
void mix_few_rows(const FewRows& call, cudaStream_t stream);

}  // namespace claa::cuda
