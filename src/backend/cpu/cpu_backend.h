// The CPU backend, on SIMD kernels of its own; oneDNN multiplies bf16 on CPUs with AMX. Needs AVX2 and FMA;
// uses AVX-512 and its bf16 dot products where the CPU has them. dtype bf16 without such a CPU rounds the
// same values and multiplies in f32. With int8, linear layers and attention multiply integers, from
// activations, K and V in bf16; scores and the attention of few rows stay as in bf16.
#pragma once

#include <memory>

#include "backend/cpu/attention.h"
#include "backend/cpu/block_weight.h"
#include "backend/cpu/cpu_weight.h"
#include "backend/cpu/int_attention.h"
#include "backend/cpu/int_weight.h"
#include "backend/cpu/onednn_weight.h"
#include "backend/host_backend.h"

namespace claa::cpu {

class CpuBackend : public HostBackend {
 public:
  explicit CpuBackend(const BackendOptions& options);

  const char* name() const override { return "cpu"; }
  std::string description() const override;
  const DeviceTraits& traits() const override { return traits_; }

  void repeat(const std::function<void()>& work) override { decode(work); }
  void decode(const std::function<void()>& work) override;

  std::unique_ptr<PackedWeight> prepare(const WeightSource& source) override;
  void embed(const PackedWeight& table, std::span<const int32_t> ids, float scale, const Tensor& out,
             int64_t first) override;
  void linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) override;
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void add_rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void convert(const Tensor& x, const Tensor& out) override;
  void soft_cap(const Tensor& x, float cap) override;
  void scale(const Tensor& x, const Tensor& factor) override;
  void norm_heads(const Tensor& x, int64_t heads, const Tensor& weight, float eps) override;
  void rope(const Tensor& q, int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
            const Tensor& out) override;
  void rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                  const KvView& cache, int64_t slot) override;
  void gate(const Tensor& gate_up, Activation activation, const Tensor& out) override;
  void gate_apart(const Tensor& gate, const Tensor& up, Activation activation, const Tensor& out) override;
  void linear_rope(const Tensor& x, const PackedWeight& weight, const Tensor& wide, int64_t head_size,
                   const RopeTable& table, std::span<const int32_t> positions, const Tensor& out) override;
  void linear_rope_store(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                         const RopeTable& table, std::span<const int32_t> positions, const KvView& cache,
                         int64_t slot) override;
  void linear_gate(const Tensor& x, const PackedWeight& weight, Activation activation, const Tensor& gate_up,
                   const Tensor& out) override;
  void add_gated_rows(const Tensor& x, const Tensor& gate, const Tensor& out) override;
  void gate_output(const Tensor& gate, const Tensor& x) override;
  void convolve(const Tensor& x, const Tensor& weight, const Tensor& columns, const Tensor& out) override;
  void unit_heads(const Tensor& x, int64_t heads, int64_t head_size, float eps) override;
  void delta_rule(const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates, const Tensor& memory,
                  const Tensor& out) override;
  void gated_norm_heads(const Tensor& x, const Tensor& gate, const Tensor& weight, float eps,
                        const Tensor& out) override;
  void add_rows(const Tensor& x, std::span<const int32_t> rows, std::span<const float> weights,
                const Tensor& out) override;
  void pack_kv(const KvView& kv, const SoftmaxRule& rule, std::unique_ptr<PackedKv>& reuse) override;
  void attention(const Tensor& q, const KvView& kv, const PackedKv* packed, const VisibleSlots& visible,
                 const SoftmaxRule& rule, const Tensor& out) override;
  void window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed, const ScoreSpec& spec,
                     const SoftmaxRule& rule, const Tensor& out) override;
  void gather_kv(const KvView& from, const Tensor& indices, const KvView& to) override;

 private:
  std::unique_ptr<CpuWeight> prepare_resident(const WeightSource& source);
  // Rows of out, in the activation type or rounded to kI8 in groups: write(r, to, bf16) makes row r as f32 or
  // bf16.
  template <class Write>
  void write_rows(const Tensor& out, int64_t group, const Write& write);
  bool packs_integers(const KvView& kv, const SoftmaxRule& rule) const;
  // Copies one head's value to its slot.
  void store_value(const float* value, const KvView& cache, int64_t head, int64_t slot) const;
  // Rotates one head of head_size values, of which the table may cover fewer.
  void rope_one(const float* x, int64_t head_size, const RopeTable& table, int64_t position, void* out) const;

  DeviceTraits traits_;
  const Kernels& kernels_;
  const Kernels& f32_kernels_;  // whose products are of f32, whatever the activation type
  bool native_bf16_;            // products of bf16 are the CPU's own
  std::unique_ptr<Threads> threads_;
  const bool resident_;  // weights stay blocks where they can
  CpuProducts products_;
  std::unique_ptr<OneDnn> onednn_;           // with bf16 on a CPU with AMX
  const IntKernels* int_kernels_ = nullptr;  // with int8
  std::unique_ptr<IntProducts> integers_;    // with int8
  RowRounder rounder_;                       // with resident weights
  CpuPackedKv score_keys_;                   // with int8: keys as scores want them
};

DeviceTraits device_traits(const BackendOptions& options);
size_t weight_bytes(const BackendOptions& options, const WeightSource& shape);

// The cap that stands for AVX2 with emulated dot products of bf16, so that any CPU can test what one with
// such an instruction runs.
inline constexpr const char* kEmulatedBf16 = "avx2bf16";

// The integer kernels this CPU can run, at most `cap`.
const IntKernels& select_int_kernels(const std::string& cap);
// The kernels of blocks this CPU can run, at most `cap`.
const BlockKernels& select_block_kernels(const std::string& cap);

// The best kernels this CPU can run for an activation type, at most `cap` ("" for no cap). Throws
// kUnsupported without AVX2, kInvalidArgument for an unknown cap.
const Kernels& select_kernels(const std::string& cap, DType dtype);
// True if products of bf16 are faster than those of f32: on Intel's CPUs without AMX their instruction has
// half the rate, and `auto` means f32 there.
bool bf16_pays(const std::string& cap);

}  // namespace claa::cpu
