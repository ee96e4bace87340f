// Reports errors of the CUDA libraries as claa::Error.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "core/check.h"

namespace claa::cuda {

// Throws kOutOfMemory for a failed allocation, kUnsupported for a missing device or an old driver, else
// kInternal.
void check(cudaError_t status, const char* what);
void check(cublasStatus_t status, const char* what);
// Call it after kernel launches, which report nothing themselves.
inline void check_launch(const char* what) {
  check(cudaGetLastError(), what);
}

}  // namespace claa::cuda
