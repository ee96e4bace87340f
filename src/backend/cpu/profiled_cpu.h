// The CPU backend with a clock around every operation: where the time goes, by kind of work.
#pragma once

#include <array>

#include "backend/cpu/cpu_backend.h"
#include "core/clock.h"

namespace claa::cpu {

class ProfiledCpu final : public CpuBackend {
 public:
  using CpuBackend::CpuBackend;

  void start_profile() override;
  std::vector<StageTime> stop_profile() override;

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
  enum Stage : uint8_t { kLinear, kAttention, kScores, kSelect, kRest, kStages };
  // Adds the time of `work` to a stage. An operation made of others counts once, as its own stage.
  template <class Work>
  void timed(Stage stage, double flops, const Work& work);

  std::array<StageTime, kStages> stages_;
  bool recording_ = false;  // spans, too
  bool inside_ = false;     // an operation that is timed
  Stopwatch watch_;
};

}  // namespace claa::cpu
