// Matrix products through cuBLASLt; single rows by kernels of our own. For every weight shape, type and
// bucket of rows the best of several algorithms is timed once and then used, also by later processes.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/blocks.h"
#include "backend/cuda/choices.h"
#include "backend/cuda/memory.h"

namespace claa::cuda {

struct CudaWeight : PackedWeight {
  Buffer memory;                 // [outputs, inputs], activation type or FP8; or the planes of its parts
  Buffer scales;                 // f32 [outputs] when FP8
  bool fp8 = false;              // activations are then rounded to FP8 too, with one scale per row
  std::vector<BlockPart> parts;  // one below the other, if the weight stays the blocks of its file
};

class Linear {
 public:
  Linear(cudaStream_t stream, const std::string& cache_folder);
  ~Linear();
  Linear(const Linear&) = delete;
  Linear& operator=(const Linear&) = delete;

  // out = x W^T (+ out); out f32 or the activation type.
  void run(const Tensor& x, const CudaWeight& weight, const Tensor& out, bool accumulate);
  // Makes room for the extra memory that run() of such an input needs.
  void reserve(const Tensor& x, const CudaWeight& weight);
  // That memory, in which a recorded product must find its input or its weight again; null until it is
  // needed.
  const void* rounded_memory() const { return scratch_.data(); }
  const void* unpacked_memory() const { return unpacked_.data(); }

 private:
  struct Choice {
    bool supported = false;
    cublasLtMatmulAlgo_t algorithm{};
  };
  struct Problem;
  // A weight as products read it: values of the activation type, or of FP8 with a scale per output.
  struct Matrix {
    const void* data = nullptr;
    const float* scales = nullptr;
    int64_t outputs = 0, inputs = 0;
    bool fp8 = false;
  };
  // Returns false when the library has no algorithm.
  bool run_library(const Problem& problem);
  // x in FP8, in scratch memory if necessary.
  Tensor rounded(const Tensor& x);
  void run_matrix(const Tensor& x, const Matrix& weight, const Tensor& out, bool accumulate);
  void run_fp8(const Tensor& x, const Matrix& weight, const Tensor& out, bool accumulate);
  // One row times blocks; for many rows blocks are unpacked, some outputs at a time.
  void run_blocks(const Tensor& x, const CudaWeight& weight, const Tensor& out, bool accumulate);
  void run_block_row(const Tensor& x, const CudaWeight& weight, const Tensor& out, bool accumulate);
  Matrix unpack(const CudaWeight& weight, DType type, int64_t first, int64_t count);
  Choice choose(const Problem& problem);
  Choice choose_among(const Problem& problem, std::span<const cublasLtMatmulAlgo_t> candidates);
  bool usable(const Problem& problem, const cublasLtMatmulAlgo_t& algorithm);
  float time(const Problem& problem, const cublasLtMatmulAlgo_t& algorithm, void* scratch);

  cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
  Buffer workspace_;
  Scratch scratch_;   // for inputs in FP8
  Scratch unpacked_;  // for weights that stay blocks
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
  Choices stored_;
  std::map<ProductKey, Choice> choices_;
};

}  // namespace claa::cuda
