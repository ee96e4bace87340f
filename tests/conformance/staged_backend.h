// A backend of a device with memory of its own, as the conformance tests see it: every tensor lies on the
// host, goes to the device before an operation and comes back after it.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/usize.h"

namespace claa::test {

class StagedBackend : public Backend {
 public:
  explicit StagedBackend(std::unique_ptr<Backend> device) : device_(std::move(device)) {}

  const char* name() const override { return device_->name(); }
  std::string description() const override { return device_->description(); }
  const DeviceTraits& traits() const override { return device_->traits(); }
  Buffer allocate(size_t bytes) override { return device_->allocate(bytes); }
  void upload(const void* host, size_t bytes, void* to) override { device_->upload(host, bytes, to); }
  void download(const void* from, size_t bytes, void* host) override { device_->download(from, bytes, host); }
  void clear(void* memory, size_t bytes) override { device_->clear(memory, bytes); }
  void copy(const void* from, size_t bytes, void* to) override { device_->copy(from, bytes, to); }

  std::unique_ptr<PackedWeight> prepare(const WeightSource& source) override {
    return device_->prepare(source);
  }
  void embed(const PackedWeight& table, std::span<const int32_t> ids, float scale, const Tensor& out,
             int64_t first) override {
    Copy to(*device_, out);
    device_->embed(table, ids, scale, to.tensor, first);
    to.fetch();
  }
  void linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) override {
    Copy from(*device_, x), to(*device_, out);
    device_->linear(from.tensor, weight, to.tensor, accumulate);
    to.fetch();
  }
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override {
    Copy from(*device_, x), scale(*device_, weight), to(*device_, out);
    device_->rms_norm(from.tensor, scale.tensor, eps, to.tensor);
    to.fetch();
  }
  void add_rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override {
    Copy from(*device_, x), scale(*device_, weight), to(*device_, out);
    device_->add_rms_norm(from.tensor, scale.tensor, eps, to.tensor);
    to.fetch();
  }
  void norm_heads(const Tensor& x, int64_t heads, const Tensor& weight, float eps) override {
    Copy to(*device_, x), scale(*device_, weight);
    device_->norm_heads(to.tensor, heads, scale.tensor, eps);
    to.fetch();
  }
  void convert(const Tensor& x, const Tensor& out) override {
    Copy from(*device_, x), to(*device_, out);
    device_->convert(from.tensor, to.tensor);
    to.fetch();
  }
  void soft_cap(const Tensor& x, float cap) override {
    Copy to(*device_, x);
    device_->soft_cap(to.tensor, cap);
    to.fetch();
  }
  void scale(const Tensor& x, const Tensor& factor) override {
    Copy to(*device_, x), by(*device_, factor);
    device_->scale(to.tensor, by.tensor);
    to.fetch();
  }
  void add_bias(const Tensor& x, const Tensor& bias) override {
    Copy to(*device_, x), from(*device_, bias);
    device_->add_bias(to.tensor, from.tensor);
    to.fetch();
  }
  void rope(const Tensor& q, int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
            const Tensor& out) override {
    Copy from(*device_, q), cos(*device_, table.cos), sin(*device_, table.sin), to(*device_, out);
    device_->rope(from.tensor, head_size, {cos.tensor, sin.tensor, table.interleaved}, positions, to.tensor);
    to.fetch();
  }
  void rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                  const KvView& cache, int64_t slot) override {
    Copy from(*device_, kv), cos(*device_, table.cos), sin(*device_, table.sin);
    CopiedKv to(*device_, cache);
    device_->rope_store(from.tensor, {cos.tensor, sin.tensor, table.interleaved}, positions, to.view, slot);
    to.fetch();
  }
  void gate(const Tensor& gate_up, Activation activation, const Tensor& out) override {
    Copy from(*device_, gate_up), to(*device_, out);
    device_->gate(from.tensor, activation, to.tensor);
    to.fetch();
  }
  void add_gated_rows(const Tensor& x, const Tensor& gate, const Tensor& out) override {
    Copy from(*device_, x), by(*device_, gate), to(*device_, out);
    device_->add_gated_rows(from.tensor, by.tensor, to.tensor);
    to.fetch();
  }
  void gate_output(const Tensor& gate, const Tensor& x) override {
    Copy from(*device_, gate), to(*device_, x);
    device_->gate_output(from.tensor, to.tensor);
    to.fetch();
  }
  void convolve(const Tensor& x, const Tensor& weight, const Tensor& columns, const Tensor& out) override {
    Copy from(*device_, x), taps(*device_, weight), carried(*device_, columns), to(*device_, out);
    device_->convolve(from.tensor, taps.tensor, carried.tensor, to.tensor);
    carried.fetch(), to.fetch();
  }
  void unit_heads(const Tensor& x, int64_t heads, int64_t head_size, float eps) override {
    Copy to(*device_, x);
    device_->unit_heads(to.tensor, heads, head_size, eps);
    to.fetch();
  }
  void delta_rule(const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates, const Tensor& memory,
                  const Tensor& out) override {
    Copy from(*device_, qkv), inputs(*device_, rates.inputs), decay(*device_, rates.decay),
        step(*device_, rates.step), state(*device_, memory), to(*device_, out);
    device_->delta_rule(from.tensor, heads, {inputs.tensor, decay.tensor, step.tensor}, state.tensor,
                        to.tensor);
    state.fetch(), to.fetch();
  }
  void gated_norm_heads(const Tensor& x, const Tensor& gate, const Tensor& weight, float eps,
                        const Tensor& out) override {
    Copy from(*device_, x), by(*device_, gate), scale(*device_, weight), to(*device_, out);
    device_->gated_norm_heads(from.tensor, by.tensor, scale.tensor, eps, to.tensor);
    to.fetch();
  }
  void gate_apart(const Tensor& gate, const Tensor& up, Activation activation, const Tensor& out) override {
    Copy from(*device_, gate), by(*device_, up), to(*device_, out);
    device_->gate_apart(from.tensor, by.tensor, activation, to.tensor);
    to.fetch();
  }
  std::unique_ptr<PackedExperts> prepare_experts(std::span<const WeightSource> sources) override {
    return device_->prepare_experts(sources);
  }
  void choose_experts(const Tensor& logits, const ExpertChoice& choice) override {
    Copy from(*device_, logits), ids(*device_, choice.ids), weights(*device_, choice.weights);
    device_->choose_experts(from.tensor, {ids.tensor, weights.tensor});
    ids.fetch(), weights.fetch();
  }
  void mix_experts(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                   const ExpertRows& memory, const Tensor& hidden) override {
    Copy from(*device_, x), ids(*device_, choice.ids), weights(*device_, choice.weights),
        to(*device_, hidden);
    Copy some(*device_, memory.x), up(*device_, memory.gate_up), gated(*device_, memory.gated),
        sums(*device_, memory.out);
    Experts copied = experts;
    std::vector<std::unique_ptr<Copy>> biases;
    for (Tensor* bias : {&copied.gate_up_bias, &copied.down_bias}) {
      if (bias->data == nullptr) continue;
      biases.push_back(std::make_unique<Copy>(*device_, *bias));
      *bias = biases.back()->tensor;
    }
    device_->mix_experts(from.tensor, copied, {ids.tensor, weights.tensor},
                         {some.tensor, up.tensor, gated.tensor, sums.tensor}, to.tensor);
    to.fetch();
  }
  void gather_activations(const Tensor& x, std::span<const int32_t> rows, const Tensor& out) override {
    Copy from(*device_, x), to(*device_, out);
    device_->gather_activations(from.tensor, rows, to.tensor);
    to.fetch();
  }
  void add_rows(const Tensor& x, std::span<const int32_t> rows, std::span<const float> weights,
                const Tensor& out) override {
    Copy from(*device_, x), to(*device_, out);
    device_->add_rows(from.tensor, rows, weights, to.tensor);
    to.fetch();
  }
  void pack_kv(const KvView& kv, const SoftmaxRule& rule, std::unique_ptr<PackedKv>& reuse) override {
    CopiedKv from(*device_, kv);
    device_->pack_kv(from.view, rule, reuse);
  }
  void attention(const Tensor& q, const KvView& kv, const PackedKv* packed, const VisibleSlots& visible,
                 const SoftmaxRule& rule, const Tensor& out) override {
    Copy from(*device_, q), to(*device_, out);
    const CopiedRule copied(*device_, rule);
    CopiedKv keys(*device_, kv);
    device_->attention(from.tensor, keys.view, packed, visible, copied.rule, to.tensor);
    to.fetch();
  }
  void window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed, const ScoreSpec& spec,
                     const SoftmaxRule& rule, const Tensor& out) override {
    Copy from(*device_, q), to(*device_, out);
    const CopiedRule copied(*device_, rule);
    CopiedKv keys(*device_, kv);
    device_->window_scores(from.tensor, keys.view, packed, spec, copied.rule, to.tensor);
    to.fetch();
  }
  void aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                 const Tensor& out) override {
    std::vector<std::unique_ptr<Copy>> copies;
    std::vector<Tensor> tensors;
    for (const Tensor& layer : layers) {
      copies.push_back(std::make_unique<Copy>(*device_, layer));
      tensors.push_back(copies.back()->tensor);
    }
    Copy to(*device_, out);
    device_->aggregate(tensors, aggregator, base, to.tensor);
    to.fetch();
  }
  void top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) override {
    Copy from(*device_, scores), to(*device_, out);
    device_->top_k(from.tensor, count, forced_tail, to.tensor);
    to.fetch();
  }
  void gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) override {
    Copy from(*device_, x), index(*device_, indices), to(*device_, out);
    device_->gather_rows(from.tensor, index.tensor, to.tensor);
    to.fetch();
  }
  void gather_kv(const KvView& from, const Tensor& indices, const KvView& to) override {
    CopiedKv source(*device_, from), target(*device_, to);
    if (indices.data == nullptr) {
      device_->gather_kv(source.view, indices, target.view);
    } else {
      const Copy index(*device_, indices);
      device_->gather_kv(source.view, index.tensor, target.view);
    }
    target.fetch();
  }

 private:
  // A tensor's memory, gaps and all, on the device, with room for DeviceTraits::padded() rows.
  class Copy {
   public:
    Copy(Backend& device, const Tensor& host) : tensor(host), device_(device), host_(host) {
      const int64_t elements =
          (host.planes() - 1) * host.stride[0] + (host.rows() - 1) * host.stride[1] + host.columns();
      bytes_ = usize(elements) * dtype_bytes(host.dtype);
      const int64_t room = std::max(elements, device.traits().padded(host.rows()) * host.stride[1]);
      memory_ = device.allocate(usize(room) * dtype_bytes(host.dtype));
      device.upload(host.data, bytes_, memory_.data());
      tensor.data = memory_.data();
    }
    void fetch() { device_.download(memory_.data(), bytes_, host_.data); }
    Tensor tensor;

   private:
    Backend& device_;
    Tensor host_;
    size_t bytes_ = 0;
    Buffer memory_;
  };
  struct CopiedRule {
    CopiedRule(Backend& device, const SoftmaxRule& host) : rule(host) {
      if (!host.has_sinks()) return;
      sinks = std::make_unique<Copy>(device, host.sinks);
      rule.sinks = sinks->tensor;
    }
    std::unique_ptr<Copy> sinks;
    SoftmaxRule rule;
  };
  struct CopiedKv {
    CopiedKv(Backend& device, const KvView& host)
        : k(device, host.k), v(device, host.v), view{k.tensor, v.tensor, host.length} {}
    void fetch() { k.fetch(), v.fetch(); }
    Copy k, v;
    KvView view;
  };

  std::unique_ptr<Backend> device_;
};

}  // namespace claa::test
