// Products of rows that lie one after another, group by group, each group with a matrix of its own: by
// CUTLASS on GPUs of compute capability 9.0, else by cuBLAS, which is told on the host how many rows each
// group has.
#pragma once

#include <cublas_v2.h>

#include <cstdint>
#include <span>
#include <vector>

#include "backend/cuda/grouped_sm90.h"
#include "backend/cuda/memory.h"

namespace claa::cuda {

// How many rows each group has: on the device, and on the host once somebody has asked.
struct GroupCounts {
  const int32_t* device = nullptr;
  int64_t groups = 0;
  std::vector<int32_t> host = {};
};

// Rows of all groups, all bf16 and contiguous, and what those of some groups are multiplied with.
struct GroupedCall {
  const void* x = nullptr;  // [rows, inputs]
  void* out = nullptr;      // [rows, outputs]
  int64_t inputs = 0, outputs = 0;
  int64_t first = 0;                               // of the groups that are multiplied
  const ExpertMatrix* weights = nullptr;           // [groups that are multiplied] on the device
  std::span<const void* const> host_weights = {};  // the same addresses
};

class GroupedProducts {
 public:
  explicit GroupedProducts(cudaStream_t stream);
  ~GroupedProducts();
  GroupedProducts(const GroupedProducts&) = delete;
  GroupedProducts& operator=(const GroupedProducts&) = delete;

  // out = x W^T for the rows of the groups that have a weight in the call.
  void run(const GroupedCall& call, GroupCounts& counts, UploadRing& ring);

 private:
  bool run_on_device(const GroupedCall& call, const GroupCounts& counts);
  void run_by_cublas(const GroupedCall& call, GroupCounts& counts, UploadRing& ring);

  cudaStream_t stream_;
  const bool sm90_;
  Scratch scratch_;
  cublasHandle_t handle_ = nullptr;
  Buffer workspace_;
};

}  // namespace claa::cuda
