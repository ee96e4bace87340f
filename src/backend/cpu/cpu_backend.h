// The CPU backend: oneDNN for linear layers, own SIMD for the rest. Needs AVX2 and FMA; uses AVX-512 and its
// bf16 dot products where the CPU has them. dtype bf16 without such a CPU rounds the same values and
// multiplies in f32.
#pragma once

#include <memory>

#include "backend/cpu/attention.h"
#include "backend/cpu/weight.h"
#include "backend/host_backend.h"

namespace claa::cpu {

class CpuBackend : public HostBackend {
 public:
  explicit CpuBackend(const BackendOptions& options);

  const char* name() const override { return "cpu"; }
  std::string description() const override;
  DType dtype() const override { return dtype_; }
  int64_t chunk_rows() const override { return 512; }

  std::unique_ptr<PackedWeight> prepare(const WeightSource& source) override;
  void embed(const PackedWeight& table, std::span<const int32_t> ids, const Tensor& out) override;
  void linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) override;
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void rope(const Tensor& q, int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
            const Tensor& out) override;
  void rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                  const KvView& cache, int64_t slot) override;
  void swiglu(const Tensor& gate_up, const Tensor& out) override;
  void pack_kv(const KvView& kv, std::unique_ptr<PackedKv>& reuse) override;
  void attention(const Tensor& q, const KvView& kv, const PackedKv* packed, std::span<const int32_t> visible,
                 const Tensor& out) override;
  void window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed, const ScoreSpec& spec,
                     const Tensor& out) override;

 private:
  // Rotates one head of head_size values, of which the table may cover fewer.
  void rope_one(const float* x, int64_t head_size, const RopeTable& table, int64_t position, void* out) const;

  DType dtype_;
  int threads_;
  const Kernels& kernels_;
  Linear linear_;
};

// The best kernels this CPU can run for an activation type, at most `cap` ("" for no cap). Throws
// kUnsupported without AVX2, kInvalidArgument for an unknown cap.
const Kernels& select_kernels(const std::string& cap, DType dtype);

}  // namespace claa::cpu
