// The operations of the CUDA backend on output gates and recurrent layers.
#include "backend/cuda/convert.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/delta.h"

namespace claa::cuda {

void CudaBackend::copy(const void* from, size_t bytes, void* to) {
  only_once();
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_.get()), "copy");
}

void CudaBackend::gate_output(const Tensor& gate, const Tensor& x) {
  if (step_.skips(kOutputGate, gate, x)) return;
  gate_output_rows(view_of(gate), view_of(x), stream_.get());
  check_launch("gate_output");
}

void CudaBackend::add_gated_rows(const Tensor& x, const Tensor& gate, const Tensor& out) {
  if (step_.skips(kAddGatedRows, x, gate, out)) return;
  add_gated_rows_of(view_of(x), gate.ptr<float>(), view_of(out), stream_.get());
  check_launch("add_gated_rows");
}

void CudaBackend::convolve(const Tensor& x, const Tensor& weight, const Tensor& columns, const Tensor& out) {
  if (step_.skips(kConvolve, x, weight, columns, out)) return;
  convolve_rows(view_of(x), weight.ptr<float>(), weight.rows(), columns.ptr<float>(), view_of(out),
                stream_.get());
  check_launch("convolve");
}

void CudaBackend::unit_heads(const Tensor& x, int64_t heads, int64_t head_size, float eps) {
  if (step_.skips(kUnitHeads, x, heads, head_size, eps)) return;
  unit_head_rows(view_of(x), heads, head_size, eps, stream_.get());
  check_launch("unit_heads");
}

void CudaBackend::delta_rule(const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates,
                             const Tensor& memory, const Tensor& out) {
  if (heads.size > kMaxDeltaHead) {
    fail(ErrorCode::kUnsupported,
         "device cuda: heads of {} in a recurrent layer are over {}; choose --device cpu", heads.size,
         kMaxDeltaHead);
  }
  if (step_.skips(kDeltaRule, qkv, heads.key_heads, heads.value_heads, heads.size, rates.inputs, rates.decay,
                  rates.step, memory, out))
    return;
  DeltaCall call;
  call.qkv = qkv.ptr<float>(), call.inputs = rates.inputs.ptr<float>();
  call.decay = rates.decay.ptr<float>(), call.step = rates.step.ptr<float>();
  call.memory = memory.ptr<float>(), call.out = out.ptr<float>();
  call.rows = static_cast<int>(qkv.rows()), call.size = static_cast<int>(heads.size);
  call.key_heads = static_cast<int>(heads.key_heads), call.value_heads = static_cast<int>(heads.value_heads);
  delta_rows(call, stream_.get());
  check_launch("delta_rule");
}

void CudaBackend::gated_norm_heads(const Tensor& x, const Tensor& gate, const Tensor& weight, float eps,
                                   const Tensor& out) {
  if (step_.skips(kGatedNorm, x, gate, weight, eps, out)) return;
  gated_norm_head_rows(view_of(x), view_of(gate), weight.columns(), weight.ptr<float>(), eps, view_of(out),
                       stream_.get());
  check_launch("gated_norm_heads");
}

}  // namespace claa::cuda
