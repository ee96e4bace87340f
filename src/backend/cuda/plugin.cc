// The functions that the shared library exports (backend/plugin.h).
#include "backend/plugin.h"
#include "backend/cuda/cuda_backend.h"

extern "C" {

__attribute__((visibility("default"))) claa::Backend* claa_make_cuda_backend(
    const claa::BackendOptions& options) {
  return new claa::cuda::CudaBackend(options);
}

__attribute__((visibility("default"))) bool claa_cuda_usable() {
  int devices = 0;
  cudaDeviceProp properties{};
  return cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0 &&
         cudaGetDeviceProperties(&properties, 0) == cudaSuccess && properties.major >= 8;
}

__attribute__((visibility("default"))) const char* claa_cuda_contract() {
  return CLAA_CONTRACT;
}

}  // extern "C"
