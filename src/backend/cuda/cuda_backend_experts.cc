// The operations of the CUDA backend on experts. Many rows of bf16 are sorted by expert, and all experts are
// served at once; of other types one expert after the other. Few rows, as in decoding, find their experts on
// the device.
#include <algorithm>

#include "backend/cuda/convert.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/experts.h"
#include "core/usize.h"

namespace claa::cuda {
namespace {

struct CudaExperts : PackedExperts {
  Buffer table;                        // ExpertMatrix [experts]
  std::vector<const void*> addresses;  // of its values
};

const ExpertMatrix* table_of(const PackedExperts& experts) {
  return static_cast<const ExpertMatrix*>(static_cast<const CudaExperts&>(experts).table.data());
}

}  // namespace

std::unique_ptr<PackedExperts> CudaBackend::prepare_experts(std::span<const WeightSource> sources) {
  auto experts = std::make_unique<CudaExperts>();
  for (const WeightSource& source : sources) experts->each.push_back(widen(source));
  std::vector<ExpertMatrix> table;
  for (const auto& weight : experts->each) {
    const auto& matrix = static_cast<const CudaWeight&>(*weight);
    table.push_back({matrix.memory.data(), static_cast<const float*>(matrix.scales.data())});
    experts->addresses.push_back(matrix.memory.data());
  }
  experts->table = allocate(table.size() * sizeof(ExpertMatrix));
  upload(table.data(), table.size() * sizeof(ExpertMatrix), experts->table.data());
  return experts;
}

void CudaBackend::choose_experts(const Tensor& logits, const ExpertChoice& choice) {
  if (step_.skips(kChooseExperts, logits, choice.ids, choice.weights)) return;
  choose_rows(view_of(logits), choice.ids.columns(), choice.ids.ptr<int32_t>(), choice.weights.ptr<float>(),
              stream_.get());
  check_launch("choose_experts");
}

void CudaBackend::mix_experts(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                              const ExpertRows& memory, const Tensor& hidden) {
  constexpr int64_t kFewRows = 8;
  const int64_t rows = x.rows(), used = choice.ids.columns();
  if (rows > kFewRows || rows * used > memory.gated.rows()) {
    if (traits_.expert_rows == 0) return Backend::mix_experts(x, experts, choice, memory, hidden);
    const int64_t at_once = memory.gated.rows() / used;
    for (int64_t row = 0; row < rows; row += at_once) {
      const int64_t count = std::min(at_once, rows - row);
      const ExpertChoice some{choice.ids.slice_rows(row, count), choice.weights.slice_rows(row, count)};
      mix_many(x.slice_rows(row, count), experts, some, memory, hidden.slice_rows(row, count));
    }
    return;
  }
  const auto& first = static_cast<const CudaWeight&>(*experts.gate_up.each.front());
  FewRows call;
  call.type = value_type(x.dtype);
  require((x.dtype == DType::kF8) == first.fp8, "mix_experts: rows of another type than the weights");
  require(hidden.stride[1] == hidden.columns(), "mix_experts: rows apart");
  call.x = x.data, call.x_scales = x.scales;
  call.gate_up = table_of(experts.gate_up), call.down = table_of(experts.down);
  call.gate_up_bias = static_cast<const float*>(experts.gate_up_bias.data);
  call.down_bias = static_cast<const float*>(experts.down_bias.data);
  call.ids = choice.ids.ptr<int32_t>(), call.weights = choice.weights.ptr<float>();
  call.gated = memory.gated.data, call.out = hidden.ptr<float>();
  call.rows = rows, call.used = used, call.hidden = first.inputs, call.width = first.outputs / 2;
  call.activation = experts.activation;
  if (step_.skips(kMixExperts, x, call.gate_up, call.down, choice.ids, choice.weights, memory.gated, hidden))
    return;
  mix_few_rows(call, stream_.get());
  check_launch("mix_experts");
}

void CudaBackend::mix_many(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                           const ExpertRows& memory, const Tensor& hidden) {
  only_once();
  const int64_t used = choice.ids.columns(), choices = x.rows() * used, count = experts.gate_up.count();
  const int64_t inputs = x.columns(), width = memory.gated.columns();
  const int32_t* ids = choice.ids.ptr<int32_t>();
  const Buffer indices = allocate(usize(count + 2 * choices) * sizeof(int32_t));
  auto* first = static_cast<int32_t*>(indices.data());
  const RowsByExpert sorted{first, first + count, first + count + choices};
  sort_by_expert(ids, choices, used, count, sorted, stream_.get());
  gather_byte_rows({x.data, nullptr, memory.x.data, nullptr, inputs * 2}, sorted.row_of, choices,
                   stream_.get());
  GroupCounts counts{sorted.counts, count};
  const auto multiply = [&](const Tensor& from, const PackedExperts& weights, const Tensor& to) {
    grouped_.run({from.data, to.data, weights.each[0]->inputs, weights.each[0]->outputs, table_of(weights),
                  static_cast<const CudaExperts&>(weights).addresses},
                 counts, ring_);
  };
  multiply(memory.x, experts.gate_up, memory.gate_up);
  if (experts.gate_up_bias.data != nullptr) {
    add_expert_bias(memory.gate_up.data, ids, sorted.slot_of, choices, experts.gate_up_bias.ptr<float>(),
                    2 * width, stream_.get());
  }
  gate(memory.gate_up.slice_rows(0, choices), experts.activation, memory.gated.slice_rows(0, choices));
  multiply(memory.gated, experts.down, memory.out);
  mix_rows({memory.out.data, ids, sorted.slot_of, choice.weights.ptr<float>(),
            static_cast<const float*>(experts.down_bias.data), hidden.ptr<float>(), x.rows(), used, inputs},
           stream_.get());
  check_launch("mix_experts");
}

void CudaBackend::gather_activations(const Tensor& x, std::span<const int32_t> rows, const Tensor& out) {
  only_once();
  require(x.dtype == out.dtype && x.row_scales == 1, "rows gathered into another type");
  const int64_t bytes = x.columns() * static_cast<int64_t>(dtype_bytes(x.dtype));
  gather_byte_rows({x.data, x.scales, out.data, out.scales, bytes}, on_device(rows), std::ssize(rows),
                   stream_.get());
  check_launch("gather_activations");
}

void CudaBackend::add_rows(const Tensor& x, std::span<const int32_t> rows, std::span<const float> weights,
                           const Tensor& out) {
  only_once();
  const int32_t* to = on_device(rows);
  const auto* of_rows = static_cast<const float*>(ring_.upload(weights.data(), weights.size_bytes()));
  add_weighted_rows(view_of(x), to, of_rows, view_of(out), stream_.get());
  check_launch("add_rows");
}

}  // namespace claa::cuda
