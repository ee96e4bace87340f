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

// Rows by expert: which rows an expert serves, and where its results for a row are.
struct RowsByExpert {
  int32_t* counts = nullptr;   // [experts]
  int32_t* row_of = nullptr;   // [rows * used]: the row in every slot, expert after expert, rows ascending
  int32_t* slot_of = nullptr;  // [rows * used]: the slot of every choice
};
void sort_by_expert(const int32_t* ids, int64_t choices, int64_t used, int64_t experts,
                    const RowsByExpert& sorted, cudaStream_t stream);
// x[slot] += the bias of the expert that the slot's choice is; x [choices, columns] bf16.
void add_expert_bias(void* x, const int32_t* ids, const int32_t* slot_of, int64_t choices, const float* bias,
                     int64_t columns, cudaStream_t stream);
// out[r] += the sum over its choices of weight * (x[slot] + bias of the expert); x bf16, out f32 contiguous.
struct MixedRows {
  const void* x = nullptr;
  const int32_t* ids = nullptr;
  const int32_t* slot_of = nullptr;  // null: choice i lies in slot i
  const float* weights = nullptr;
  const float* bias = nullptr;  // null: none
  float* out = nullptr;
  int64_t rows = 0, used = 0, columns = 0;
};
void mix_rows(const MixedRows& call, cudaStream_t stream);

// The weight of one expert: f32, bf16, or FP8 with one scale per output.
struct ExpertMatrix {
  const void* values = nullptr;
  const float* scales = nullptr;
};
struct FewRows {
  ValueType type = ValueType::kF32;  // of the weights, and of x
  const void* x = nullptr;           // [rows, hidden]
  const float* x_scales = nullptr;   // [rows] for FP8
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

// Rows of bf16 for choices of experts: choice i multiplies row i / share of x with the matrix of expert
// ids[i].
struct ChosenRows {
  const void* x = nullptr;  // [choices / share, inputs]
  const int32_t* ids = nullptr;
  int64_t choices = 0, share = 1, inputs = 0, outputs = 0;  // outputs of one expert
  const float* bias = nullptr;                              // [experts, outputs]; null: none
  void* out = nullptr;                                      // [choices, outputs]
};
void multiply_chosen_rows(const ChosenRows& call, const ExpertMatrix* experts, cudaStream_t stream);

}  // namespace claa::cuda
