// Matrix products through cuBLASLt; single rows by kernels of our own. For every weight shape, type and
// bucket of rows the best of several algorithms is timed once and then used, also by later processes.
#pragma once

#include <map>
#include <memory>

#include "backend/backend.h"
#include "backend/cuda/choices.h"
#include "backend/cuda/memory.h"

namespace claa::cuda {

struct CudaWeight : PackedWeight {
  Buffer memory;     // [outputs, inputs], activation type or FP8
  Buffer scales;     // f32 [outputs] when FP8
  bool fp8 = false;  // activations are then rounded to FP8 too, with one scale per row
};

class Linear {
 public:
  Linear(cudaStream_t stream, const std::string& cache_folder);
  ~Linear();
  Linear(const Linear&) = delete;
  Linear& operator=(const Linear&) = delete;

  // out = x W^T (+ out); out f32 or the activation type.
  void run(const Tensor& x, const CudaWeight& weight, const Tensor& out, bool accumulate);
  // Makes room for the extra memory that run() of such an input needs, and returns it; null if none is
  // needed.
  const void* reserve(const Tensor& x, const CudaWeight& weight);

 private:
  struct Choice {
    bool supported = false;
    cublasLtMatmulAlgo_t algorithm{};
  };
  struct Problem;
  // Returns false when the library has no algorithm.
  bool run_library(const Problem& problem);
  // x in FP8, in scratch memory if necessary.
  Tensor rounded(const Tensor& x);
  void run_fp8(const Tensor& x, const CudaWeight& weight, const Tensor& out, bool accumulate);
  Choice choose(const Problem& problem);
  Choice choose_among(const Problem& problem, std::span<const cublasLtMatmulAlgo_t> candidates);
  bool usable(const Problem& problem, const cublasLtMatmulAlgo_t& algorithm);
  float time(const Problem& problem, const cublasLtMatmulAlgo_t& algorithm, void* scratch);

  cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
  Buffer workspace_;
  Scratch scratch_;  // for inputs in FP8
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
  Choices stored_;
  std::map<ProductKey, Choice> choices_;
};

}  // namespace claa::cuda
