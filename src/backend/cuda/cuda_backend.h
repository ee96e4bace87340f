// The CUDA backend: cuBLASLt for linear layers, cuDNN for causal attention, our own kernels for the rest. All
// work runs in the order of one stream; only download() and upload() wait.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/cuda/fused_attention.h"
#include "backend/cuda/grouped.h"
#include "backend/cuda/linear.h"
#include "backend/cuda/memory.h"
#include "backend/cuda/step_graph.h"
#include "backend/cuda_traits.h"
#include "core/usize.h"

namespace claa::cuda {

// The stream that everything runs on; it is destroyed after all its users.
class Stream {
 public:
  Stream();  // throws kUnsupported without a usable GPU
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(const BackendOptions& options);
  ~CudaBackend() override;

  const char* name() const override { return "cuda"; }
  std::string description() const override;
  const DeviceTraits& traits() const override { return traits_; }

  Buffer allocate(size_t bytes) override;
  void upload(const void* host, size_t bytes, void* device) override;
  void download(const void* device, size_t bytes, void* host) override;
  void clear(void* device, size_t bytes) override;
  void copy(const void* from, size_t bytes, void* to) override;
  size_t peak_bytes() override;
  size_t free_bytes() override;
  void reserve(size_t bytes) override;
  void synchronize() override;
  void repeat(const std::function<void()>& work) override;
  Moment mark() override;
  double ms_between(const Moment& from, const Moment& to) override;

  std::unique_ptr<PackedWeight> prepare(const WeightSource& source) override;
  std::unique_ptr<PackedExperts> prepare_experts(std::span<const WeightSource> sources) override;
  void choose_experts(const Tensor& logits, const ExpertChoice& choice) override;
  void mix_experts(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                   const ExpertRows& memory, const Tensor& hidden) override;
  void gather_activations(const Tensor& x, std::span<const int32_t> rows, const Tensor& out) override;
  void add_rows(const Tensor& x, std::span<const int32_t> rows, std::span<const float> weights,
                const Tensor& out) override;
  void embed(const PackedWeight& table, std::span<const int32_t> ids, float scale, const Tensor& out,
             int64_t first) override;
  void linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) override;
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void add_rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void convert(const Tensor& x, const Tensor& out) override;
  void soft_cap(const Tensor& x, float cap) override;
  void scale(const Tensor& x, const Tensor& factor) override;
  void norm_heads(const Tensor& x, int64_t heads, const Tensor& weight, float eps) override;
  void add_bias(const Tensor& x, const Tensor& bias) override;
  void rope(const Tensor& q, int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
            const Tensor& out) override;
  void rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                  const KvView& cache, int64_t slot) override;
  void gate(const Tensor& gate_up, Activation activation, const Tensor& out) override;
  void add_gated_rows(const Tensor& x, const Tensor& gate, const Tensor& out) override;
  void gate_output(const Tensor& gate, const Tensor& x) override;
  void convolve(const Tensor& x, const Tensor& weight, const Tensor& columns, const Tensor& out) override;
  void unit_heads(const Tensor& x, int64_t heads, int64_t head_size, float eps) override;
  void delta_rule(const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates, const Tensor& memory,
                  const Tensor& out) override;
  void gated_norm_heads(const Tensor& x, const Tensor& gate, const Tensor& weight, float eps,
                        const Tensor& out) override;
  void gate_apart(const Tensor& gate, const Tensor& up, Activation activation, const Tensor& out) override;
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
  // Identifies an operation within a repeated series.
  enum Operation {
    kEmbed,
    kLinear,
    kNorm,
    kBias,
    kRope,
    kRopeStore,
    kGate,
    kAttention,
    kAddNorm,
    kHeadNorms,
    kConvert,
    kSoftCap,
    kScale,
    kClear,
    kGateApart,
    kChooseExperts,
    kMixExperts,
    kOutputGate,
    kConvolve,
    kUnitHeads,
    kDeltaRule,
    kGatedNorm,
    kAddGatedRows
  };
  // Valid until a few more arrays are uploaded, or within one repeat().
  const int32_t* on_device(std::span<const int32_t> values) {
    if (step_.active()) return step_.numbers(values);
    return static_cast<const int32_t*>(ring_.upload(values.data(), values.size_bytes()));
  }
  Buffer floats(int64_t count) { return allocate(usize(count) * sizeof(float)); }
  // The pooled scores of the listed heads [first, first + count): f32 [count, rows, tokens].
  void head_scores(const Tensor& q, const KvView& kv, const ScoreSpec& spec, const SoftmaxRule& rule,
                   const int32_t* heads, int64_t count, float* out);

  // A weight in the activation type, or in FP8.
  std::unique_ptr<CudaWeight> widen(const WeightSource& source);
  // Rows of bf16 that all experts of a layer serve at once.
  void mix_many(const Tensor& x, const Experts& experts, const ExpertChoice& choice, const ExpertRows& memory,
                const Tensor& hidden);
  // Few rows of bf16 with experts that stay blocks.
  void mix_few_blocks(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                      const ExpertRows& memory, const Tensor& hidden);
  // Rows that are sorted by expert, and rows each of which one choice takes.
  void multiply_groups(const Tensor& x, const PackedExperts& weights, const Tensor& out, GroupCounts& counts);
  void multiply_chosen(const ChosenRows& call, const PackedExperts& weights);
  // Attention of few or odd rows, with a sliding window, or with a rule.
  void attend_rows(const Tensor& q, const KvView& kv, const VisibleSlots& visible, const SoftmaxRule& rule,
                   const Tensor& out);
  // Call it in operations that a repeated series may not contain.
  void only_once(const char* file = __builtin_FILE(), int line = __builtin_LINE()) const {
    require(!step_.active(), "an operation that a repeated series may not call", file, line);
  }

  DeviceTraits traits_;
  const BackendOptions options_;
  const bool fp8_;
  Stream stream_;
  UploadRing ring_;
  Linear linear_;
  GroupedProducts grouped_;
  Scratch unpacked_;  // for experts that stay blocks
  FusedAttention fused_;
  Scratch scratch_;  // for attention
  StepGraph step_;
};

}  // namespace claa::cuda
