// Linear layers on oneDNN, for CPUs with tiles of bf16 (AMX), whose products are not written by hand here.
// Weights are packed once, primitives are cached by shape.
#pragma once

#include <map>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>

#include "backend/cpu/cpu_weight.h"

namespace claa::cpu {

// True if oneDNN multiplies bf16 with AMX on this CPU.
bool onednn_has_amx();

// State that the weights of one backend share. It outlives them.
class OneDnn {
 public:
  OneDnn(CpuProducts& products, DType dtype);

  CpuProducts& products;
  const DType dtype;  // of weights and inputs, f32 or bf16
  dnnl::engine engine;
  dnnl::stream stream;
  const dnnl::matmul& primitive(int64_t rows, int64_t inputs, int64_t outputs,
                                const dnnl::memory::desc& weights, bool accumulate);

 private:
  using Key = std::tuple<int64_t, int64_t, int64_t, bool>;  // rows, inputs, outputs, accumulate
  std::map<Key, dnnl::matmul> primitives_;
};

class OneDnnWeight : public CpuWeight {
 public:
  OneDnnWeight(OneDnn& onednn, const WeightSource& source);
  static size_t bytes_for(DType dtype, int64_t outputs, int64_t inputs, int threads);
  void multiply(const Tensor& x, const Tensor& out, bool accumulate) const override;

 private:
  OneDnn& onednn_;
  dnnl::memory memory_;
};

}  // namespace claa::cpu
