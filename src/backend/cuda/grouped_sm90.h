// Grouped products by CUTLASS, for GPUs of compute capability 9.0. How many rows each group has stays on the
// device, so that the host waits for nothing.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "backend/cuda/experts.h"

namespace claa::cuda {

// Rows of bf16 that lie group after group, each group with a matrix [outputs, inputs] of its own.
struct DeviceGroups {
  const int32_t* counts = nullptr;        // rows of each group, also of those before the first
  const ExpertMatrix* weights = nullptr;  // [groups], bf16
  int64_t first = 0, groups = 0;
  const void* x = nullptr;          // [rows of all groups, inputs]
  void* out = nullptr;              // [rows of all groups, outputs]
  int64_t inputs = 0, outputs = 0;  // multiples of eight
};

bool have_grouped_sm90();  // whether the current GPU is one
// Device memory that a call needs, on a boundary of 256 bytes.
size_t grouped_sm90_bytes(int64_t groups);
// out = x W^T for every group. Returns false where the library refuses.
bool grouped_sm90(const DeviceGroups& call, void* memory, cudaStream_t stream);

}  // namespace claa::cuda
