#include <numeric>

#include "backend/backend.h"
#include "core/usize.h"

namespace claa {
namespace {

// The rows that one expert serves, and the weight of its result in each.
struct Served {
  std::vector<int32_t> rows;
  std::vector<float> weights;
};

std::vector<Served> served_by(Backend& backend, const ExpertChoice& choice, int64_t experts) {
  const int64_t rows = choice.ids.rows(), used = choice.ids.columns();
  std::vector<int32_t> ids(usize(rows * used));
  std::vector<float> weights(ids.size());
  backend.download(choice.ids.data, ids.size() * sizeof(int32_t), ids.data());
  backend.download(choice.weights.data, weights.size() * sizeof(float), weights.data());
  std::vector<Served> served(usize(experts));
  for (size_t i = 0; i < ids.size(); ++i) {
    require(ids[i] >= 0 && ids[i] < experts, "an expert that the layer does not have");
    Served& expert = served[usize(ids[i])];
    expert.rows.push_back(static_cast<int32_t>(i / usize(used)));
    expert.weights.push_back(weights[i]);
  }
  return served;
}

}  // namespace

size_t PackedExperts::bytes() const {
  return std::accumulate(
      each.begin(), each.end(), size_t{0},
      [](size_t sum, const std::unique_ptr<PackedWeight>& weight) { return sum + weight->bytes; });
}

std::unique_ptr<PackedExperts> Ops::prepare_experts(std::span<const WeightSource> sources) {
  auto experts = std::make_unique<PackedExperts>();
  for (const WeightSource& source : sources) experts->each.push_back(prepare(source));
  return experts;
}

void Backend::mix_experts(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                          const ExpertRows& memory, const Tensor& hidden) {
  const std::vector<Served> served = served_by(*this, choice, experts.gate_up.count());
  for (int64_t e = 0; e < experts.gate_up.count(); ++e) {
    const Served& expert = served[usize(e)];
    const auto rows = static_cast<int64_t>(expert.rows.size());
    if (rows == 0) continue;
    const Tensor in = memory.x.slice_rows(0, rows), gate_up = memory.gate_up.slice_rows(0, rows);
    const Tensor gated = memory.gated.slice_rows(0, rows), out = memory.out.slice_rows(0, rows);
    gather_activations(x, expert.rows, in);
    if (experts.gate_up_bias.data == nullptr) {
      linear_gate(in, *experts.gate_up.each[usize(e)], experts.activation, gate_up, gated);
    } else {
      linear(in, *experts.gate_up.each[usize(e)], gate_up, false);
      add_bias(gate_up, experts.gate_up_bias.slice_rows(e, 1));
      gate(gate_up, experts.activation, gated);
    }
    linear(gated, *experts.down.each[usize(e)], out, false);
    if (experts.down_bias.data != nullptr) add_bias(out, experts.down_bias.slice_rows(e, 1));
    add_rows(out, expert.rows, expert.weights, hidden);
  }
}

}  // namespace claa
