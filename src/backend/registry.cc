// Makes a backend by name.
#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cuda_traits.h"
#include "backend/plugin.h"
#include "backend/profiled.h"
#include "backend/reference/reference_backend.h"

namespace claa {
std::string resolve_device(const std::string& name) {
  if (name != "auto") return name;
  return cuda_usable() ? "cuda" : "cpu";
}

DType best_dtype(const BackendOptions& options) {
  if (options.name == "cuda") return DType::kBF16;
  if (options.name != "cpu") return DType::kF32;
  return cpu::bf16_pays(options.isa) ? DType::kBF16 : DType::kF32;
}

BackendOptions backend_options(const std::string& device, const std::string& dtype, int threads,
                               const std::string& isa) {
  BackendOptions options;
  options.name = resolve_device(device);
  options.threads = threads;
  options.isa = isa;
  if (threads < 0 || threads > 1024) {
    fail(ErrorCode::kInvalidArgument, "threads must be from 0 (physical cores) to 1024, not {}", threads);
  }
  if (dtype == "f32") {
    options.dtype = DType::kF32;
  } else if (dtype == "bf16") {
    options.dtype = DType::kBF16;
  } else if (dtype == "auto") {
    options.dtype = best_dtype(options);
  } else if (dtype == "fp8" || dtype == "int8") {
    const char* needed = dtype == "fp8" ? "cuda" : "cpu";
    if (options.name != needed) {
      fail(ErrorCode::kUnsupported, "dtype {} needs device {}, this is {}; choose auto, f32 or bf16{}", dtype,
           needed, options.name,
           options.name == "cpu"    ? ", or int8"
           : options.name == "cuda" ? ", or fp8"
                                    : "");
    }
    options.dtype = DType::kBF16;
    options.fp8 = dtype == "fp8";
    options.int8 = dtype == "int8";
  } else {
    fail(ErrorCode::kInvalidArgument, "unknown dtype '{}'; choose auto, f32, bf16, int8 or fp8", dtype);
  }
  return options;
}

DeviceTraits device_traits(const BackendOptions& options) {
  if (options.name == "cuda") return cuda::device_traits(options);
  return options.name == "cpu" ? cpu::device_traits(options) : reference::device_traits(options);
}

size_t weight_bytes(const BackendOptions& options, const WeightSource& shape) {
  if (options.name == "cuda") return cuda::weight_bytes(options, shape);
  return options.name == "cpu" ? cpu::weight_bytes(options, shape) : reference::weight_bytes(shape);
}

namespace {

std::unique_ptr<Backend> make_plain_backend(const BackendOptions& options) {
  if (options.name == "cpu") return std::make_unique<cpu::CpuBackend>(options);
  if (options.name == "reference") return std::make_unique<reference::ReferenceBackend>(options.dtype);
  if (options.name == "cuda") return make_cuda_backend(options);
  fail(ErrorCode::kInvalidArgument, "unknown device '{}'; choose auto, cpu, cuda or reference", options.name);
}

}  // namespace

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  return std::make_unique<ProfiledBackend>(make_plain_backend(options));
}

}  // namespace claa
