// The naive backend: plain loops with f64 sums, the oracle that every other backend is tested against. Never
// tuned.
#pragma once

#include "backend/host_backend.h"

namespace claa::reference {

class ReferenceBackend : public HostBackend {
 public:
  explicit ReferenceBackend(DType dtype);

  const char* name() const override { return "reference"; }
  std::string description() const override { return fmt::format("reference, {}", dtype_name(traits_.dtype)); }
  const DeviceTraits& traits() const override { return traits_; }

  std::unique_ptr<PackedWeight> prepare(const WeightSource& source) override;
  void embed(const PackedWeight& table, std::span<const int32_t> ids, float scale, const Tensor& out,
             int64_t first) override;
  void linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) override;
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void add_rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void convert(const Tensor& x, const Tensor& out) override;
  void norm_heads(const Tensor& x, int64_t heads, const Tensor& weight, float eps) override;
  void rope(const Tensor& q, int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
            const Tensor& out) override;
  void rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                  const KvView& cache, int64_t slot) override;
  void gate(const Tensor& gate_up, Activation activation, const Tensor& out) override;
  void gate_apart(const Tensor& gate, const Tensor& up, Activation activation, const Tensor& out) override;
  void soft_cap(const Tensor& x, float cap) override;
  void add_gated_rows(const Tensor& x, const Tensor& gate, const Tensor& out) override;
  void gate_output(const Tensor& gate, const Tensor& x) override;
  void convolve(const Tensor& x, const Tensor& weight, const Tensor& columns, const Tensor& out) override;
  void unit_heads(const Tensor& x, int64_t heads, int64_t head_size, float eps) override;
  void delta_rule(const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates, const Tensor& memory,
                  const Tensor& out) override;
  void gated_norm_heads(const Tensor& x, const Tensor& gate, const Tensor& weight, float eps,
                        const Tensor& out) override;
  void scale(const Tensor& x, const Tensor& factor) override;
  void mix_experts(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                   const ExpertRows& memory, const Tensor& hidden) override;
  void pack_kv(const KvView& kv, const SoftmaxRule& rule, std::unique_ptr<PackedKv>& reuse) override;
  void attention(const Tensor& q, const KvView& kv, const PackedKv* packed, const VisibleSlots& visible,
                 const SoftmaxRule& rule, const Tensor& out) override;
  void window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed, const ScoreSpec& spec,
                     const SoftmaxRule& rule, const Tensor& out) override;

 private:
  DeviceTraits traits_;
};

DeviceTraits device_traits(const BackendOptions& options);
size_t weight_bytes(const WeightSource& shape);

}  // namespace claa::reference
