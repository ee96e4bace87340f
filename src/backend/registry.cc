// Makes a backend by name.
#include "backend/backend.h"
#include "backend/cpu/profiled_cpu.h"
#include "backend/device_rows.h"
#include "backend/plugin.h"
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
      fail(ErrorCode::kUnsupported, "dtype {} needs device {}, this is {}; choose auto, f32 or bf16", dtype,
           needed, options.name);
    }
    options.dtype = DType::kBF16;
    options.fp8 = dtype == "fp8";
    options.int8 = dtype == "int8";
  } else {
    fail(ErrorCode::kInvalidArgument, "unknown dtype '{}'; choose auto, f32, bf16, int8 or fp8", dtype);
  }
  return options;
}

DeviceRows device_rows(const BackendOptions& options) {
  constexpr auto as_they_are = [](int64_t rows) { return rows; };
  constexpr size_t kProgram = size_t{18} << 20;  // measured; a larger vocabulary adds little to its weights
  const auto values = [](const WeightSource& shape) {
    return static_cast<size_t>(shape.outputs * shape.inputs);
  };
  if (options.name == "cuda") {
    const auto bytes = [options, values](const WeightSource& shape) {
      if (!options.fp8 || shape.table) return values(shape) * dtype_bytes(options.dtype);
      return values(shape) + static_cast<size_t>(shape.outputs) * sizeof(float);  // one scale per row
    };
    return {options.dtype, options.dtype, cuda::kChunkRows, cuda::padded_rows, bytes};
  }
  if (options.name == "cpu") {
    const auto bytes = [options](const WeightSource& shape) { return cpu::weight_bytes(options, shape); };
    return {options.dtype, DType::kF32, cpu::kChunkRows, as_they_are, bytes, kProgram};
  }
  const auto bytes = [values](const WeightSource& shape) { return values(shape) * sizeof(float); };
  return {options.dtype, DType::kF32, reference::kChunkRows, as_they_are, bytes, kProgram};
}

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  if (options.name == "cpu") return std::make_unique<cpu::ProfiledCpu>(options);
  if (options.name == "reference") return std::make_unique<reference::ReferenceBackend>(options.dtype);
  if (options.name == "cuda") return make_cuda_backend(options);
  fail(ErrorCode::kInvalidArgument, "unknown device '{}'; choose auto, cpu, cuda or reference", options.name);
}

}  // namespace claa
