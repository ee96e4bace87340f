// Kernels of output gates and recurrent layers. All are asynchronous on `stream`; shapes are those of ops.h.
#pragma once

#include "backend/cuda/view.h"

namespace claa::cuda {

constexpr int64_t kMaxDeltaHead = 256;

void gate_output_rows(const View& gate, const View& x, cudaStream_t stream);
// gate [rows], x and out f32
void add_gated_rows_of(const View& x, const float* gate, const View& out, cudaStream_t stream);
// weight [width, channels]; `columns` [width - 1, channels], rows one after another.
void convolve_rows(const View& x, const float* weight, int64_t width, float* columns, const View& out,
                   cudaStream_t stream);
void unit_head_rows(const View& x, int64_t heads, int64_t head_size, float eps, cudaStream_t stream);

struct DeltaCall {
  const float* qkv = nullptr;     // [rows, (2 * key_heads + value_heads) * size]
  const float* inputs = nullptr;  // [rows, 2 * value_heads]
  const float* decay = nullptr;   // [value_heads]
  const float* step = nullptr;    // [value_heads]
  float* memory = nullptr;        // [value_heads, size, size]
  float* out = nullptr;           // [rows, value_heads * size]
  int rows = 0, key_heads = 0, value_heads = 0, size = 0;
};
// Size is at most kMaxDeltaHead.
void delta_rows(const DeltaCall& call, cudaStream_t stream);
void gated_norm_head_rows(const View& x, const View& gate, int64_t head_size, const float* weight, float eps,
                          const View& out, cudaStream_t stream);

}  // namespace claa::cuda
