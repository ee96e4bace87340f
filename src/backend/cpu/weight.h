// Linear layers on oneDNN: weights packed once, primitives cached by shape.
#pragma once

#include <map>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"

namespace claa::cpu {

// Weights of one matrix. `rows` is set when they lie row-major [outputs, inputs] (f32 or bf16), which embed()
// and matrix-vector products read directly; otherwise they lie in the layout that oneDNN asked for.
class CpuWeight : public PackedWeight {
 public:
  dnnl::memory memory;
  DType dtype = DType::kF32;
  bool row_major = false;
  const void* rows() const { return row_major ? memory.get_data_handle() : nullptr; }
};

class Linear {
 public:
  Linear(const Kernels& kernels, DType activation, int threads, const std::string& isa_cap);

  std::unique_ptr<CpuWeight> prepare(const WeightSource& source);
  // out [rows, outputs] f32 = x W^T (+ out).
  void run(const Tensor& x, const CpuWeight& weight, const Tensor& out, bool accumulate);
  bool native_bf16() const { return native_bf16_; }

 private:
  using Key =
      std::tuple<int64_t, int64_t, int64_t, bool, bool>;  // rows, inputs, outputs, accumulate, row_major
  const dnnl::matmul& primitive(int64_t rows, const CpuWeight& weight, bool accumulate);
  void run_few_rows(const Tensor& x, const CpuWeight& weight, const Tensor& out, bool accumulate) const;

  const Kernels& kernels_;
  DType activation_;
  int threads_;
  bool native_bf16_ = false;  // oneDNN multiplies bf16 itself
  bool plain_layout_ = true;  // its best layout here is row-major
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::map<Key, dnnl::matmul> primitives_;
  std::vector<float> widened_;  // bf16 inputs as f32, for a CPU without bf16 products
};

}  // namespace claa::cpu
