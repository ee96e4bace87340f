// Kernels between the matrix products. All are asynchronous on `stream`; shapes are those of ops.h.
#pragma once

#include "backend/cuda/view.h"

namespace claa::cuda {

void embed_rows(const View& table, const int32_t* ids, float scale, int64_t first, const View& out,
                cudaStream_t stream);
void rms_norm_rows(const View& x, const float* weight, float eps, const View& out, cudaStream_t stream);
void add_rms_norm_rows(const View& x, const float* weight, float eps, const View& out, cudaStream_t stream);
void convert_rows(const View& x, const View& out, cudaStream_t stream);
void soft_cap_rows(const View& x, float cap, cudaStream_t stream);
void norm_head_rows(const View& x, int64_t heads, int64_t head_size, const float* weight, float eps,
                    cudaStream_t stream);
void add_bias_rows(const View& x, const float* bias, cudaStream_t stream);
void rope_rows(const View& q, int64_t head_size, const RopeView& rope, const int32_t* positions,
               const View& out, cudaStream_t stream);
// The first slot that rows are stored in: a number, or one in device memory.
struct Slot {
  const int32_t* address = nullptr;
  int64_t value = 0;  // used if there is no address
};
// kv [rows, 2 * planes * head_size]; rows go to slots [slot, slot + rows) of every plane of k and v.
void rope_store_rows(const View& kv, const RopeView& rope, const int32_t* positions, const View& k,
                     const View& v, Slot slot, cudaStream_t stream);
void gate_rows(const View& gate_up, Activation activation, const View& out, cudaStream_t stream);
void gate_apart_rows(const View& gate, const View& up, Activation activation, const View& out,
                     cudaStream_t stream);
void scale_rows(const View& x, const float* factor, cudaStream_t stream);
// out = bf16(in), `count` values.
void round_to_bf16(const float* in, int64_t count, void* out, cudaStream_t stream);

}  // namespace claa::cuda
