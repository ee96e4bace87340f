// The CUDA backend is a shared library of its own, so that the program runs where CUDA is not installed.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace claa {

// Throws kUnsupported: no such library, or one whose own libraries are missing, or no usable GPU.
std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);

// True if make_cuda_backend() would find the library and a GPU.
bool cuda_usable();

// The library exports, with C linkage: a new backend, whether there is a usable GPU, and the contract it
// was built for. The contract is CLAA_CONTRACT, a hash of the headers whose types cross the boundary: a
// library of another build would be called by another table of functions.
inline constexpr const char* kCudaLibrary = "libclaa_cuda.so";
inline constexpr const char* kCudaEntry = "claa_make_cuda_backend";
inline constexpr const char* kCudaProbe = "claa_cuda_usable";
inline constexpr const char* kCudaContract = "claa_cuda_contract";
using CudaContract = const char*();
using CudaEntry = Backend*(const BackendOptions&);
using CudaProbe = bool();

}  // namespace claa
