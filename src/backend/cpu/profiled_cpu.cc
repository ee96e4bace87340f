#include "backend/cpu/profiled_cpu.h"

#include <numeric>

namespace claa::cpu {
namespace {

double product_flops(const Tensor& x, const PackedWeight& weight) {
  return 2.0 * static_cast<double>(x.rows() * weight.inputs * weight.outputs);
}

}  // namespace

template <class Work>
void ProfiledCpu::timed(Stage stage, double flops, const Work& work) {
  if (inside_) return work();
  struct Scope {
    Scope(ProfiledCpu& cpu, Stage at) : backend(cpu), stage(at), start(cpu.watch_.ms()) {
      cpu.inside_ = true;
    }
    ~Scope() {
      const double ms = backend.watch_.ms() - start;
      StageTime& time = backend.stages_[stage];
      time.ms += ms;
      if (backend.recording_) time.spans.push_back({start, ms});
      backend.inside_ = false;
    }
    ProfiledCpu& backend;
    Stage stage;
    double start;
  };
  const Scope scope(*this, stage);
  stages_[stage].flops += flops;
  work();
}

void ProfiledCpu::start_profile() {
  constexpr std::array<const char*, kStages> kNames{"linear", "attention", "scores", "select", "rest"};
  for (size_t i = 0; i < kStages; ++i) stages_[i] = {kNames[i], 0, 0, {}};
  recording_ = true;
  watch_.restart();
}

std::vector<StageTime> ProfiledCpu::stop_profile() {
  recording_ = false;
  return {std::make_move_iterator(stages_.begin()), std::make_move_iterator(stages_.end())};
}

void ProfiledCpu::embed(const PackedWeight& table, std::span<const int32_t> ids, const Tensor& out) {
  timed(kRest, 0, [&] { CpuBackend::embed(table, ids, out); });
}

void ProfiledCpu::linear(const Tensor& x, const PackedWeight& weight, const Tensor& out, bool accumulate) {
  timed(kLinear, product_flops(x, weight), [&] { CpuBackend::linear(x, weight, out, accumulate); });
}

void ProfiledCpu::rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  timed(kRest, 0, [&] { CpuBackend::rms_norm(x, weight, eps, out); });
}

void ProfiledCpu::rope(const Tensor& q, int64_t head_size, const RopeTable& table,
                       std::span<const int32_t> positions, const Tensor& out) {
  timed(kRest, 0, [&] { CpuBackend::rope(q, head_size, table, positions, out); });
}

void ProfiledCpu::rope_store(const Tensor& kv, const RopeTable& table, std::span<const int32_t> positions,
                             const KvView& cache, int64_t slot) {
  timed(kRest, 0, [&] { CpuBackend::rope_store(kv, table, positions, cache, slot); });
}

void ProfiledCpu::swiglu(const Tensor& gate_up, const Tensor& out) {
  timed(kRest, 0, [&] { CpuBackend::swiglu(gate_up, out); });
}

void ProfiledCpu::linear_rope(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                              int64_t head_size, const RopeTable& table, std::span<const int32_t> positions,
                              const Tensor& out) {
  timed(kLinear, product_flops(x, weight),
        [&] { CpuBackend::linear_rope(x, weight, wide, head_size, table, positions, out); });
}

void ProfiledCpu::linear_rope_store(const Tensor& x, const PackedWeight& weight, const Tensor& wide,
                                    const RopeTable& table, std::span<const int32_t> positions,
                                    const KvView& cache, int64_t slot) {
  timed(kLinear, product_flops(x, weight),
        [&] { CpuBackend::linear_rope_store(x, weight, wide, table, positions, cache, slot); });
}

void ProfiledCpu::linear_swiglu(const Tensor& x, const PackedWeight& weight, const Tensor& gate_up,
                                const Tensor& out) {
  timed(kLinear, product_flops(x, weight), [&] { CpuBackend::linear_swiglu(x, weight, gate_up, out); });
}

void ProfiledCpu::pack_kv(const KvView& kv, std::unique_ptr<PackedKv>& reuse) {
  timed(kAttention, 0, [&] { CpuBackend::pack_kv(kv, reuse); });
}

void ProfiledCpu::attention(const Tensor& q, const KvView& kv, const PackedKv* packed,
                            std::span<const int32_t> visible, const Tensor& out) {
  const auto pairs = std::accumulate(visible.begin(), visible.end(), int64_t{0});
  timed(kAttention, 4.0 * static_cast<double>(pairs * q.columns()),
        [&] { CpuBackend::attention(q, kv, packed, visible, out); });
}

void ProfiledCpu::window_scores(const Tensor& q, const KvView& kv, const PackedKv* packed,
                                const ScoreSpec& spec, const Tensor& out) {
  timed(kScores, 0, [&] { CpuBackend::window_scores(q, kv, packed, spec, out); });
}

void ProfiledCpu::aggregate(std::span<const Tensor> layers, Aggregator aggregator, double base,
                            const Tensor& out) {
  timed(kSelect, 0, [&] { CpuBackend::aggregate(layers, aggregator, base, out); });
}

void ProfiledCpu::top_k(const Tensor& scores, int64_t count, int64_t forced_tail, const Tensor& out) {
  timed(kSelect, 0, [&] { CpuBackend::top_k(scores, count, forced_tail, out); });
}

void ProfiledCpu::gather_rows(const Tensor& x, const Tensor& indices, const Tensor& out) {
  timed(kSelect, 0, [&] { CpuBackend::gather_rows(x, indices, out); });
}

void ProfiledCpu::gather_kv(const KvView& from, const Tensor& indices, const KvView& to) {
  timed(kSelect, 0, [&] { CpuBackend::gather_kv(from, indices, to); });
}

}  // namespace claa::cpu
