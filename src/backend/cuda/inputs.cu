// Kernels of a layer's own inputs, and of the scale of its output.
#include "backend/cuda/dense.h"
#include "backend/cuda/device.cuh"

namespace claa::cuda {
namespace {

constexpr int kInputThreads = 256;

template <typename Out>
__global__ void gate_apart_kernel(Activation activation, const float* gate, int64_t gate_stride,
                                  const float* up, int64_t up_stride, Out* out, int64_t out_stride,
                                  int64_t columns) {
  const int64_t c = blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (c >= columns) return;
  const float value =
      gate_times(activation, gate[blockIdx.x * gate_stride + c], up[blockIdx.x * up_stride + c]);
  store(out + blockIdx.x * out_stride + c, value);
}

__global__ void scale_kernel(float* x, int64_t stride, const float* factor, int64_t columns) {
  const int64_t c = blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (c < columns) x[blockIdx.x * stride + c] *= *factor;
}

dim3 grid_of(const View& rows) {
  return dim3(static_cast<unsigned>(rows.rows), blocks_for(rows.columns, kInputThreads));
}

}  // namespace

void gate_apart_rows(const View& gate, const View& up, Activation activation, const View& out,
                     cudaStream_t stream) {
  with_type(out, [&](auto* to) {
    gate_apart_kernel<<<grid_of(out), kInputThreads, 0, stream>>>(
        activation, data_of<float>(gate), gate.row_stride, data_of<float>(up), up.row_stride, to,
        out.row_stride, out.columns);
  });
}

void scale_rows(const View& x, const float* factor, cudaStream_t stream) {
  scale_kernel<<<grid_of(x), kInputThreads, 0, stream>>>(data_of<float>(x), x.row_stride, factor, x.columns);
}

}  // namespace claa::cuda
