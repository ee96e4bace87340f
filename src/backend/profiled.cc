#include "backend/profiled.h"

namespace claa {
namespace {

double product_flops(const Tensor& x, const PackedWeight& weight) {
  return 2.0 * static_cast<double>(x.rows() * weight.inputs * weight.outputs);
}

// Two products per pair of a query and a key.
double attention_flops(const Tensor& q, const VisibleSlots& visible) {
  double pairs = 0;
  for (int64_t row = 0; row < q.rows(); ++row) pairs += visible.end_of(row) - visible.first_of(row);
  return 4.0 * pairs * static_cast<double>(q.columns());
}

}  // namespace

template <class Work>
void ProfiledBackend::timed(Stage stage, double flops, const Work& work) {
  if (!recording_) return work();
  Span span{stage, inner_->mark(), {}};
  work();
  span.end = inner_->mark();
  spans_.push_back(std::move(span));
  flops_[stage] += flops;
}

void ProfiledBackend::start_profile() {
  spans_.clear();
  flops_.fill(0);
  start_ = inner_->mark();
  recording_ = true;
}

std::vector<StageTime> ProfiledBackend::stop_profile() {
  constexpr std::array<const char*, kStages> kNames{"linear", "attention", "scores", "select", "rest"};
  recording_ = false;
  inner_->synchronize();
  std::vector<StageTime> stages(kStages);
  for (size_t i = 0; i < kStages; ++i) stages[i] = {kNames[i], 0, flops_[i], {}};
  for (const Span& span : spans_) {
    const double ms = inner_->ms_between(span.begin, span.end);
    stages[span.stage].ms += ms;
    stages[span.stage].spans.push_back({inner_->ms_between(start_, span.begin), ms});
  }
  spans_.clear();
  return stages;
}

// A recorded step has no single operations to measure.
void ProfiledBackend::repeat(const std::function<void()>& work) {
  if (recording_) {
    inner_->decode(work);
  } else {
    inner_->repeat(work);
  }
}

void ProfiledBackend::embed(const PackedWeight& table, std::span<const int32_t> ids, float scale,
                            const Tensor& out, int64_t first) {
  timed(kRest, 0, [&] { inner_->embed(table, ids, scale, out, first); });
}

void ProfiledBackend::linear(const Tensor& x, const PackedWeight& weight, const Tensor& out,
                             bool accumulate) {
  timed(kLinear, product_flops(x, weight), [&] { inner_->linear(x, weight, out, accumulate); });
}

void ProfiledBackend::rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  timed(kRest, 0, [&] { inner_->rms_norm(x, weight, eps, out); });
}

void ProfiledBackend::add_rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  timed(kRest, 0, [&] { inner_->add_rms_norm(x, weight, eps, out); });
}

void ProfiledBackend::convert(const Tensor& x, const Tensor& out) {
  timed(kRest, 0, [&] { inner_->convert(x, out); });
}

void ProfiledBackend::soft_cap(const Tensor& x, float cap) {
  timed(kRest, 0, [&] { inner_->soft_cap(x, cap); });
}

void ProfiledBackend::scale(const Tensor& x, const Tensor& factor) {
  timed(kRest, 0, [&] { inner_->scale(x, factor); });
}

void ProfiledBackend::norm_heads(const Tensor& x, int64_t heads, const Tensor& weight, float eps) {
  timed(kRest, 0, [&] { inner_->norm_heads(x, heads, weight, eps); });
}

void ProfiledBackend::add_bias(const Tensor& x, const Tensor& bias) {
  timed(kRest, 0, [&] { inner_->add_bias(x, bias); });
}

void ProfiledBackend::rope(const Tensor& q, int64_t head_size, const RopeTable& table,
                           std::span<const int32_t> positions, const Tensor& out) {
  timed(kRest, 0, [&] { inner_->rope(q, head_size, table, positions, out); });
}

void ProfiledBackend::rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                                 const KvView& cache, int64_t slot) {
  timed(kRest, 0, [&] { inner_->rope_store(kv, table, positions, cache, slot); });
}

// Where a device has no operation of its own for the pair, each of the two is measured.
void ProfiledBackend::linear_rope(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                                  int64_t head_size, const RopeTable& table,
                                  std::span<const int32_t> positions, const Tensor& out) {
  if (!traits().fused_products)
    return Backend::linear_rope(x, weight, wide, head_size, table, positions, out);
  timed(kLinear, product_flops(x, weight),
        [&] { inner_->linear_rope(x, weight, wide, head_size, table, positions, out); });
}

void ProfiledBackend::linear_rope_store(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                                        const RopeTable& table, std::span<const int32_t> positions,
                                        const KvView& cache, int64_t slot) {
  if (!traits().fused_products)
    return Backend::linear_rope_store(x, weight, wide, table, positions, cache, slot);
  timed(kLinear, product_flops(x, weight),
        [&] { inner_->linear_rope_store(x, weight, wide, table, positions, cache, slot); });
}

void ProfiledBackend::gate(const Tensor& gate_up, Activation activation, const Tensor& out) {
  timed(kRest, 0, [&] { inner_->gate(gate_up, activation, out); });
}

void ProfiledBackend::gate_apart(const Tensor& gate, const Tensor& up, Activation activation,
                                 const Tensor& out) {
  timed(kRest, 0, [&] { inner_->gate_apart(gate, up, activation, out); });
}

void ProfiledBackend::linear_gate(const Tensor& x, const PackedWeight& weight, Activation activation,
                                  const Tensor& gate_up, const Tensor& out) {
  if (!traits().fused_products) return Backend::linear_gate(x, weight, activation, gate_up, out);
  timed(kLinear, product_flops(x, weight), [&] { inner_->linear_gate(x, weight, activation, gate_up, out); });
}

void ProfiledBackend::gate_output(const Tensor& gate, const Tensor& x) {
  timed(kRest, 0, [&] { inner_->gate_output(gate, x); });
}

void ProfiledBackend::convolve(const Tensor& x, const Tensor& weight, const Tensor& columns,
                               const Tensor& out) {
  timed(kRest, 0, [&] { inner_->convolve(x, weight, columns, out); });
}

void ProfiledBackend::unit_heads(const Tensor& x, int64_t heads, int64_t head_size, float eps) {
  timed(kRest, 0, [&] { inner_->unit_heads(x, heads, head_size, eps); });
}

// It stands for attention, and three products of a key or query with the memory are what it does.
void ProfiledBackend::delta_rule(const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates,
                                 const Tensor& memory, const Tensor& out) {
  const double flops = 6.0 * static_cast<double>(qkv.rows() * heads.values() * heads.size);
  timed(kAttention, flops, [&] { inner_->delta_rule(qkv, heads, rates, memory, out); });
}

void ProfiledBackend::gated_norm_heads(const Tensor& x, const Tensor& gate, const Tensor& weight, float eps,
                                       const Tensor& out) {
  timed(kRest, 0, [&] { inner_->gated_norm_heads(x, gate, weight, eps, out); });
}

void ProfiledBackend::choose_experts(const Tensor& logits, const ExpertChoice& choice) {
  timed(kRest, 0, [&] { inner_->choose_experts(logits, choice); });
}

void ProfiledBackend::mix_experts(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                                  const ExpertRows& memory, const Tensor& hidden) {
  const PackedWeight &gate_up = *experts.gate_up.each.front(), &down = *experts.down.each.front();
  const double flops =
      static_cast<double>(choice.ids.columns()) * (product_flops(x, gate_up) + product_flops(x, down));
  timed(kLinear, flops, [&] { inner_->mix_experts(x, experts, choice, memory, hidden); });
}

void ProfiledBackend::gather_activations(const Tensor& x, std::span<const int32_t> rows, const Tensor& out) {
  timed(kRest, 0, [&] { inner_->gather_activations(x, rows, out); });
}

void ProfiledBackend::add_gated_rows(const Tensor& x, const Tensor& gate, const Tensor& out) {
  timed(kRest, 0, [&] { inner_->add_gated_rows(x, gate, out); });
}

void ProfiledBackend::add_rows(const Tensor& x, std::span<const int32_t> rows, std::span<const float> weights,
                               const Tensor& out) {
  timed(kRest, 0, [&] { inner_->add_rows(x, rows, weights, out); });
}

void ProfiledBackend::pack_kv(const KvView& kv, const SoftmaxRule& rule, std::unique_ptr<PackedKv>& reuse) {
  timed(kAttention, 0, [&] { inner_->pack_kv(kv, rule, reuse); });
}

void ProfiledBackend::attention(const Tensor& q, const KvView& kv, const PackedKv* packed,
                                const VisibleSlots& visible, const SoftmaxRule& rule, const Tensor& out) {
  timed(kAttention, recording_ ? attention_flops(q, visible) : 0,
        [&] { inner_->attention(q, kv, packed, visible, rule, out); });
}

void ProfiledBackend::window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed,
                                    const ScoreSpec& spec, const SoftmaxRule& rule, const Tensor& out) {
  timed(kScores, 0, [&] { inner_->window_scores(q, kv, packed, spec, rule, out); });
}

void ProfiledBackend::aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                                const Tensor& out) {
  timed(kScores, 0, [&] { inner_->aggregate(layers, aggregator, base, out); });
}

void ProfiledBackend::top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) {
  timed(kSelect, 0, [&] { inner_->top_k(scores, count, forced_tail, out); });
}

void ProfiledBackend::gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) {
  timed(kSelect, 0, [&] { inner_->gather_rows(x, indices, out); });
}

void ProfiledBackend::gather_kv(const KvView& from, const Tensor& indices, const KvView& to) {
  timed(kSelect, 0, [&] { inner_->gather_kv(from, indices, to); });
}

}  // namespace claa
