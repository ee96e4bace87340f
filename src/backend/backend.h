// The contract of a backend: a device (device.h), its operations (ops.h) and its traits (traits.h). Models
// and methods are written against it and name no device. `reference` is the naive oracle of the tests; `cpu`
// is oneDNN and SIMD; `cuda`, a shared library of its own that is loaded when it is asked for, is cuBLASLt,
// cuDNN and own kernels.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/device.h"
#include "backend/ops.h"
#include "backend/traits.h"
#include "claa/error.h"
#include "claa/stages.h"

namespace claa {

struct BackendOptions {
  std::string name = "cpu";
  DType dtype = DType::kBF16;     // activation type
  int threads = 0;                // 0: physical cores
  std::string isa;                // cap: "avx2", "avx512", "avx2bf16" (tests), or "" for the best the CPU has
  bool fp8 = false;               // cuda with bf16: linear layers in FP8 (E4M3), but for the vocabulary's
  bool int8 = false;              // cpu with bf16: integer products, but for the vocabulary's
  bool resident = false;          // weights stay the blocks of their file; on the cpu it must outlive them
  std::string cache_folder = {};  // cuda: where the algorithms chosen for products are kept; "": nowhere
};

class Backend : public Device, public Ops {
 public:
  virtual const char* name() const = 0;
  virtual std::string description() const = 0;  // instruction set, threads
  virtual const DeviceTraits& traits() const = 0;
  DType dtype() const { return traits().dtype; }
  // One expert after the other, each over all rows that chose it. The order is that of the experts, whatever
  // the other rows chose.
  void mix_experts(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                   const ExpertRows& memory, const Tensor& hidden) override;

  // Milliseconds of the device by kind of work between the two calls, which cost a little time of their own;
  // empty where the backend is not measured (backend/profiled.h).
  virtual void start_profile() {}
  virtual std::vector<StageTime> stop_profile() { return {}; }
};

// The traits that a backend of these options has; it need not be there. The cpu is the one at hand.
DeviceTraits device_traits(const BackendOptions& options);
// Bytes of a weight of the source's shape and role as prepare() of such a backend makes it.
size_t weight_bytes(const BackendOptions& options, const WeightSource& shape);

// The fastest activation type of a device: bf16 where it is multiplied natively, else f32.
DType best_dtype(const BackendOptions& options);

// Resolves "auto" for this machine: cuda where there is a GPU that can be used, else cpu. Other names
// stay.
std::string resolve_device(const std::string& name);

// From the words of a user: a device as resolve_device() takes it, dtype "auto", "f32", "bf16", "int8" (cpu
// alone) or "fp8" (cuda alone), threads from 0 (physical cores) to 1024. Throws Error{kInvalidArgument}.
BackendOptions backend_options(const std::string& device, const std::string& dtype, int threads,
                               const std::string& isa);

// Throws Error{kInvalidArgument} (unknown name) or kUnsupported (this machine cannot).
std::unique_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace claa
