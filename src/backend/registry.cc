// Makes a backend by name.
#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"

namespace claa {

DType best_dtype(const BackendOptions& options) {
  if (options.name != "cpu") return DType::kF32;
  return cpu::select_kernels(options.isa, DType::kBF16).bf16_dot ? DType::kBF16 : DType::kF32;
}

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  if (options.name == "cpu") return std::make_unique<cpu::CpuBackend>(options);
  if (options.name == "reference") return std::make_unique<reference::ReferenceBackend>(options.dtype);
  fail(ErrorCode::kInvalidArgument, "unknown device '{}'; choose cpu or reference", options.name);
}

}  // namespace claa
