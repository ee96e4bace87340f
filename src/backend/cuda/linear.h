// Matrix products through cuBLASLt. For every weight shape, type and bucket of rows the best of the library's
// suggestions is timed once and used from then on.
#pragma once

#include <map>
#include <memory>
#include <tuple>

#include "backend/backend.h"
#include "backend/cuda/memory.h"

namespace claa::cuda {

struct CudaWeight : PackedWeight {
  Buffer memory;     // [outputs, inputs], activation type or FP8
  Buffer scales;     // f32 [outputs] when FP8
  bool fp8 = false;  // then activations are rounded to FP8 too, with a scale a row
};

class Linear {
 public:
  explicit Linear(cudaStream_t stream);
  ~Linear();
  Linear(const Linear&) = delete;
  Linear& operator=(const Linear&) = delete;

  // out = x W^T (+ out); out f32 or the activation type.
  void run(const Tensor& x, const CudaWeight& weight, const Tensor& out, bool accumulate);

 private:
  // outputs, inputs, bucket of rows, type of the inputs, of the output, accumulate
  using Key = std::tuple<int64_t, int64_t, int64_t, int, int, bool>;
  struct Choice {
    bool supported = false;
    cublasLtMatmulAlgo_t algorithm{};
  };
  struct Problem;
  // False when the library has no algorithm.
  bool run_library(const Problem& problem);
  void run_fp8(const Tensor& x, const CudaWeight& weight, const Tensor& out, bool accumulate);
  Choice choose(const Problem& problem);
  float time(const Problem& problem, const cublasLtMatmulAlgo_t& algorithm, void* scratch);

  cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
  Buffer workspace_;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
  std::map<Key, Choice> choices_;
};

}  // namespace claa::cuda
