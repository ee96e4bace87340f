// The CPU backend: oneDNN for linear layers, own SIMD for the rest. Needs AVX2 and FMA; uses AVX-512 and its
// bf16 dot products where the CPU has them. dtype bf16 without such a CPU rounds the same values and
// multiplies in f32. With int8, linear layers and attention multiply integers, from activations, K and V in
// bf16; scores and the attention of few rows stay as in bf16.
#pragma once

#include <array>
#include <memory>

#include "backend/cpu/attention.h"
#include "backend/cpu/bf16_linear.h"
#include "backend/cpu/int_attention.h"
#include "backend/cpu/int_weight.h"
#include "backend/cpu/weight.h"
#include "backend/device_rows.h"
#include "backend/host_backend.h"
#include "core/clock.h"

namespace claa::cpu {

// Where the time of the operations goes.
class StageClock {
 public:
  enum Stage : uint8_t { kLinear, kAttention, kScores, kSelect, kRest, kStages };

  // Adds the life time of the scope to a stage.
  class Scope {
   public:
    Scope(StageClock& clock, Stage stage, double flops = 0)
        : clock_(clock), stage_(stage), start_(clock.watch_.ms()) {
      clock.stages_[stage].flops += flops;
    }
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    StageClock& clock_;
    Stage stage_;
    double start_;
  };
  void start();
  std::vector<StageTime> stop();

 private:
  std::array<StageTime, kStages> stages_;
  bool recording_ = false;  // of spans
  Stopwatch watch_;
};

class CpuBackend : public HostBackend {
 public:
  explicit CpuBackend(const BackendOptions& options);

  const char* name() const override { return "cpu"; }
  std::string description() const override;
  DType dtype() const override { return dtype_; }
  int64_t chunk_rows() const override { return kChunkRows; }
  DType linear_dtype() const override { return int_linear_ != nullptr ? DType::kI8 : dtype_; }
  bool wants_even_channels() const override { return int_linear_ != nullptr; }

  void start_profile() override { clock_.start(); }
  std::vector<StageTime> stop_profile() override { return clock_.stop(); }

  std::unique_ptr<PackedWeight> prepare(const WeightSource& source) override;
  void embed(const PackedWeight& table, std::span<const int32_t> ids, const Tensor& out) override;
  void linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) override;
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void rope(const Tensor& q, int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
            const Tensor& out) override;
  void rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                  const KvView& cache, int64_t slot) override;
  void swiglu(const Tensor& gate_up, const Tensor& out) override;
  void linear_rope(const Tensor& x, const PackedWeight& weight, const Tensor& wide, int64_t head_size,
                   const RopeTable& table, std::span<const int32_t> positions, const Tensor& out) override;
  void linear_rope_store(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                         const RopeTable& table, std::span<const int32_t> positions, const KvView& cache,
                         int64_t slot) override;
  void linear_swiglu(const Tensor& x, const PackedWeight& weight, const Tensor& gate_up,
                     const Tensor& out) override;
  void pack_kv(const KvView& kv, std::unique_ptr<PackedKv>& reuse) override;
  void attention(const Tensor& q, const KvView& kv, const PackedKv* packed, std::span<const int32_t> visible,
                 const Tensor& out) override;
  void window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed, const ScoreSpec& spec,
                     const Tensor& out) override;
  void aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                 const Tensor& out) override;
  void top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) override;
  void gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) override;
  void gather_kv(const KvView& from, const Tensor& indices, const KvView& to) override;

 private:
  // Rows of out, in the activation type or rounded to kI8 in groups: write(r, to, bf16) makes row r as f32 or
  // bf16.
  template <class Write>
  void write_rows(const Tensor& out, int64_t group, const Write& write) const;
  bool packs_integers(const KvView& kv) const;
  // Multiplies head by head where it can.
  bool run_heads(const Tensor& x, const PackedWeight& weight, int64_t head_size, const WriteHead& write);
  // One head's value to its slot.
  void store_value(const float* value, const KvView& cache, int64_t head, int64_t slot) const;
  // Rotates one head of head_size values, of which the table may cover fewer.
  void rope_one(const float* x, int64_t head_size, const RopeTable& table, int64_t position, void* out) const;

  StageClock clock_;
  DType dtype_;
  int threads_;
  const Kernels& kernels_;
  Linear linear_;
  std::unique_ptr<Bf16Linear> bf16_linear_;  // with native bf16 and no AMX
  const IntKernels* int_kernels_ = nullptr;  // with int8
  std::unique_ptr<IntLinear> int_linear_;    // with int8
  CpuPackedKv score_keys_;                   // with int8: keys as scores want them
};

// The integer kernels this CPU can run, at most `cap`.
const IntKernels& select_int_kernels(const std::string& cap);

// The best kernels this CPU can run for an activation type, at most `cap` ("" for no cap). Throws
// kUnsupported without AVX2, kInvalidArgument for an unknown cap.
const Kernels& select_kernels(const std::string& cap, DType dtype);
// Whether products of bf16 are faster than those of f32: on Intel's CPUs without AMX their instruction has
// half the rate, and `auto` means f32 there.
bool bf16_pays(const std::string& cap);

}  // namespace claa::cpu
