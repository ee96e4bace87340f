// A backend with a clock around every operation: where the time goes, by kind of work. It passes everything
// on, and measures between start_profile() and stop_profile().
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "backend/backend.h"

namespace claa {

class ProfiledBackend final : public Backend {
 public:
  explicit ProfiledBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  const char* name() const override { return inner_->name(); }
  std::string description() const override { return inner_->description(); }
  const DeviceTraits& traits() const override { return inner_->traits(); }
  void start_profile() override;
  std::vector<StageTime> stop_profile() override;

  Buffer allocate(size_t bytes) override { return inner_->allocate(bytes); }
  void upload(const void* host, size_t bytes, void* to) override { inner_->upload(host, bytes, to); }
  void download(const void* from, size_t bytes, void* host) override { inner_->download(from, bytes, host); }
  void clear(void* memory, size_t bytes) override { inner_->clear(memory, bytes); }
  void copy(const void* from, size_t bytes, void* to) override { inner_->copy(from, bytes, to); }
  size_t peak_bytes() override { return inner_->peak_bytes(); }
  size_t free_bytes() override { return inner_->free_bytes(); }
  void reserve(size_t bytes) override { inner_->reserve(bytes); }
  void synchronize() override { inner_->synchronize(); }
  void repeat(const std::function<void()>& work) override;
  void decode(const std::function<void()>& work) override { inner_->decode(work); }
  Moment mark() override { return inner_->mark(); }
  double ms_between(const Moment& from, const Moment& to) override { return inner_->ms_between(from, to); }

  std::unique_ptr<PackedWeight> prepare(const WeightSource& source) override {
    return inner_->prepare(source);
  }
  std::unique_ptr<PackedExperts> prepare_experts(std::span<const WeightSource> sources) override {
    return inner_->prepare_experts(sources);
  }
  void embed(const PackedWeight& table, std::span<const int32_t> ids, float scale, const Tensor& out,
             int64_t first) override;
  void linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) override;
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void add_rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void convert(const Tensor& x, const Tensor& out) override;
  void scale(const Tensor& x, const Tensor& factor) override;
  void norm_heads(const Tensor& x, int64_t heads, const Tensor& weight, float eps) override;
  void add_bias(const Tensor& x, const Tensor& bias) override;
  void soft_cap(const Tensor& x, float cap) override;
  void rope(const Tensor& q, int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
            const Tensor& out) override;
  void rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                  const KvView& cache, int64_t slot) override;
  void linear_rope(const Tensor& x, const PackedWeight& weight, const Tensor& wide, int64_t head_size,
                   const RopeTable& table, std::span<const int32_t> positions, const Tensor& out) override;
  void linear_rope_store(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                         const RopeTable& table, std::span<const int32_t> positions, const KvView& cache,
                         int64_t slot) override;
  void gate(const Tensor& gate_up, Activation activation, const Tensor& out) override;
  void gate_apart(const Tensor& gate, const Tensor& up, Activation activation, const Tensor& out) override;
  void linear_gate(const Tensor& x, const PackedWeight& weight, Activation activation, const Tensor& gate_up,
                   const Tensor& out) override;
  void gate_output(const Tensor& gate, const Tensor& x) override;
  void convolve(const Tensor& x, const Tensor& weight, const Tensor& columns, const Tensor& out) override;
  void unit_heads(const Tensor& x, int64_t heads, int64_t head_size, float eps) override;
  void delta_rule(const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates, const Tensor& memory,
                  const Tensor& out) override;
  void gated_norm_heads(const Tensor& x, const Tensor& gate, const Tensor& weight, float eps,
                        const Tensor& out) override;
  void choose_experts(const Tensor& logits, const ExpertChoice& choice) override;
  void mix_experts(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                   const ExpertRows& memory, const Tensor& hidden) override;
  void gather_activations(const Tensor& x, std::span<const int32_t> rows, const Tensor& out) override;
  void add_gated_rows(const Tensor& x, const Tensor& gate, const Tensor& out) override;
  void add_rows(const Tensor& x, std::span<const int32_t> rows, std::span<const float> weights,
                const Tensor& out) override;
  void pack_kv(const KvView& kv, const SoftmaxRule& rule, std::unique_ptr<PackedKv>& reuse) override;
  void attention(const Tensor& q, const KvView& kv, const PackedKv* packed, const VisibleSlots& visible,
                 const SoftmaxRule& rule, const Tensor& out) override;
  void window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed, const ScoreSpec& spec,
                     const SoftmaxRule& rule, const Tensor& out) override;
  void aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                 const Tensor& out) override;
  void top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) override;
  void gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) override;
  void gather_kv(const KvView& from, const Tensor& indices, const KvView& to) override;

 private:
  enum Stage : uint8_t { kLinear, kAttention, kScores, kSelect, kRest, kStages };
  struct Span {
    Stage stage;
    Moment begin, end;
  };
  // Does `work`, and keeps its span while a profile runs.
  template <class Work>
  void timed(Stage stage, double flops, const Work& work);

  std::unique_ptr<Backend> inner_;
  bool recording_ = false;
  Moment start_;
  std::vector<Span> spans_;
  std::array<double, kStages> flops_{};
};

}  // namespace claa
