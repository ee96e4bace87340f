// What a layer does with inputs of its own, and the scale of its output.
#include "backend/cpu/cpu_backend.h"
#include "core/usize.h"

namespace claa::cpu {

void CpuBackend::scale(const Tensor& x, const Tensor& factor) {
  threads_->split(x.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r)
      kernels_.scaled(x.ptr<float>(0, r), x.columns(), *factor.ptr<float>(), x.ptr<float>(0, r), false);
  });
}

void CpuBackend::gate_apart(const Tensor& gate, const Tensor& up, Activation activation, const Tensor& out) {
  const int64_t n = out.columns();
  threads_->split(out.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r) {
      kernels_.gate(activation, 1, gate.ptr<float>(0, r), up.ptr<float>(0, r), n, n, out.address(0, r), n,
                    out.dtype == DType::kBF16);
    }
  });
}

}  // namespace claa::cpu
