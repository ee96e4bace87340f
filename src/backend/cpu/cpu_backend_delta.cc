// Gates of outputs and rows, and the parts of recurrent layers.
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/delta.h"
#include "core/usize.h"

namespace claa::cpu {

void CpuBackend::gate_output(const Tensor& gate, const Tensor& x) {
  threads_->split(x.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r) {
      kernels_.logistic_gate(gate.ptr<float>(0, r), x.columns(), x.address(0, r), x.dtype == DType::kBF16);
    }
  });
}

void CpuBackend::add_gated_rows(const Tensor& x, const Tensor& gate, const Tensor& out) {
  threads_->split(x.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r) {
      const float share = 1 / (1 + std::exp(-*gate.ptr<float>(0, r)));
      kernels_.add_scaled(x.ptr<float>(0, r), x.columns(), share, out.ptr<float>(0, r));
    }
  });
}

void CpuBackend::convolve(const Tensor& x, const Tensor& weight, const Tensor& columns, const Tensor& out) {
  const int64_t n = x.columns(), width = weight.rows(), carried = width - 1;
  // Of the carried rows and those of x, one after another.
  const auto input = [&](int64_t row) -> const float* {
    return row < carried ? columns.ptr<float>(0, row) : x.ptr<float>(0, row - carried);
  };
  std::vector<const float*> inputs(usize(threads_->count() * width));
  threads_->split(x.rows(), [&](int64_t first, int64_t end, int thread) {
    const float** rows = inputs.data() + thread * width;
    for (int64_t r = first; r < end; ++r) {
      for (int64_t j = 0; j < width; ++j) rows[j] = input(r + j);
      kernels_.convolve(rows, weight.ptr<float>(), static_cast<int>(width), n, out.ptr<float>(0, r));
    }
  });
  for (int64_t r = 0; r < carried; ++r) std::copy_n(input(x.rows() + r), n, columns.ptr<float>(0, r));
}

// The root of the sum of n squares is that of their mean, times the root of n.
void CpuBackend::unit_heads(const Tensor& x, int64_t heads, int64_t head_size, float eps) {
  const auto n = static_cast<float>(head_size);
  const std::vector<float> weight(usize(head_size), 1 / std::sqrt(n));
  threads_->split(x.rows(), [&](int64_t first, int64_t end, int) {
    for (int64_t r = first; r < end; ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        float* head = x.ptr<float>(0, r) + h * head_size;
        kernels_.rms_norm(head, weight.data(), head_size, eps / n, head, false);
      }
    }
  });
}

void CpuBackend::delta_rule(const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates,
                            const Tensor& memory, const Tensor& out) {
  cpu::delta_rule(f32_kernels_, qkv, heads, rates, memory, out, *threads_);
}

void CpuBackend::gated_norm_heads(const Tensor& x, const Tensor& gate, const Tensor& weight, float eps,
                                  const Tensor& out) {
  const int64_t size = weight.columns();
  const bool bf16 = out.dtype == DType::kBF16;
  std::vector<float> scratch(usize(threads_->count() * size));
  threads_->split(x.rows(), [&](int64_t first, int64_t end, int thread) {
    float* normed = scratch.data() + thread * size;
    for (int64_t r = first; r < end; ++r) {
      for (int64_t c = 0; c < x.columns(); c += size) {
        kernels_.rms_norm(x.ptr<float>(0, r) + c, weight.ptr<float>(), size, eps, normed, false);
        kernels_.gate(Activation::kSilu, 1, gate.ptr<float>(0, r) + c, normed, size, size,
                      out.address(0, r, c), size, bf16);
      }
    }
  });
}

}  // namespace claa::cpu
