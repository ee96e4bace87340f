// The operations of the CUDA backend on experts. Many rows of bf16 are sorted by expert, and all experts are
// served at once; of other types one expert after the other. Few rows, as in decoding, find their experts on
// the device. Experts that stay blocks lie one below the other; for many rows some of them at a time are
// unpacked.
#include <algorithm>
#include <limits>

#include "backend/cuda/block_weight.h"
#include "backend/cuda/convert.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/dense.h"
#include "backend/cuda/experts.h"
#include "core/usize.h"

namespace claa::cuda {
namespace {

struct CudaExperts : PackedExperts {
  Buffer table;                         // ExpertMatrix [experts]
  std::vector<const void*> addresses;   // of its values
  std::unique_ptr<CudaWeight> stacked;  // or the blocks of all experts, in one part
};

const CudaWeight* stacked_of(const PackedExperts& experts) {
  return static_cast<const CudaExperts&>(experts).stacked.get();
}

const ExpertMatrix* table_of(const PackedExperts& experts) {
  return static_cast<const ExpertMatrix*>(static_cast<const CudaExperts&>(experts).table.data());
}

// The experts one below the other.
WeightSource stack(std::span<const WeightSource> sources) {
  WeightSource all = sources.front();
  const int64_t outputs = all.outputs;
  all.outputs *= std::ssize(sources);
  all.blocks.clear();
  for (const WeightSource& source : sources)
    all.blocks.insert(all.blocks.end(), source.blocks.begin(), source.blocks.end());
  all.fill = [sources, outputs](int64_t first, int64_t count, float* rows) {
    for (int64_t row = first; row < first + count; ++row, rows += sources[0].inputs)
      sources[usize(row / outputs)].fill(row % outputs, 1, rows);
  };
  return all;
}

// True if all experts together can be one part, whose rows kernels count in 32 bits.
bool can_be_stacked(const BackendOptions& options, std::span<const WeightSource> sources) {
  const WeightSource& first = sources.front();
  const auto is_like_first = [&](const WeightSource& source) {
    return stays_blocks(options, source) && are_alike(source.blocks[0], first.blocks[0]);
  };
  return std::all_of(sources.begin(), sources.end(), is_like_first) && gemv_blocks_fits({}, first.inputs) &&
         std::ssize(sources) * first.outputs <= std::numeric_limits<int32_t>::max();
}

}  // namespace

std::unique_ptr<PackedExperts> CudaBackend::prepare_experts(std::span<const WeightSource> sources) {
  auto experts = std::make_unique<CudaExperts>();
  if (can_be_stacked(options_, sources)) {
    experts->stacked = prepare_blocks(stack(sources), false, stream_.get());
    for (const WeightSource& source : sources) {
      auto share = std::make_unique<PackedWeight>();
      share->outputs = source.outputs, share->inputs = source.inputs;
      share->bytes = experts->stacked->bytes / sources.size();
      share->resident = true;
      experts->each.push_back(std::move(share));
    }
    return experts;
  }
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
  if (stacked_of(experts.gate_up) != nullptr || stacked_of(experts.down) != nullptr)
    return mix_few_blocks(x, experts, choice, memory, hidden);
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

void CudaBackend::mix_few_blocks(const Tensor& x, const Experts& experts, const ExpertChoice& choice,
                                 const ExpertRows& memory, const Tensor& hidden) {
  const int64_t used = choice.ids.columns(), choices = x.rows() * used;
  const int64_t inputs = x.columns(), width = memory.gated.columns();
  require(hidden.stride[1] == inputs && x.stride[1] == inputs, "mix_experts: rows apart");
  if (step_.skips(kMixExperts, x, stacked_of(experts.gate_up), stacked_of(experts.down), choice.ids,
                  choice.weights, memory.gated, hidden))
    return;
  const int32_t* ids = choice.ids.ptr<int32_t>();
  multiply_chosen({x.data, ids, choices, used, inputs, 2 * width,
                   static_cast<const float*>(experts.gate_up_bias.data), memory.gate_up.data},
                  experts.gate_up);
  gate_rows(view_of(memory.gate_up.slice_rows(0, choices)), experts.activation,
            view_of(memory.gated.slice_rows(0, choices)), stream_.get());
  multiply_chosen({memory.gated.data, ids, choices, 1, width, inputs, nullptr, memory.out.data},
                  experts.down);
  mix_rows({memory.out.data, ids, nullptr, choice.weights.ptr<float>(),
            static_cast<const float*>(experts.down_bias.data), hidden.ptr<float>(), x.rows(), used, inputs},
           stream_.get());
  check_launch("mix_experts");
}

void CudaBackend::multiply_chosen(const ChosenRows& call, const PackedExperts& weights) {
  if (const CudaWeight* stacked = stacked_of(weights)) {
    gemv_chosen_blocks(call, stacked->parts.front(), stream_.get());
  } else {
    multiply_chosen_rows(call, table_of(weights), stream_.get());
  }
}

void CudaBackend::multiply_groups(const Tensor& x, const PackedExperts& weights, const Tensor& out,
                                  GroupCounts& counts) {
  const auto& experts = static_cast<const CudaExperts&>(weights);
  GroupedCall call{x.data, out.data, weights.each[0]->inputs, weights.each[0]->outputs};
  if (experts.stacked == nullptr) {
    call.weights = table_of(weights), call.host_weights = experts.addresses;
    return grouped_.run(call, counts, ring_);
  }
  const int64_t bytes = call.inputs * call.outputs * static_cast<int64_t>(sizeof(Bf16));
  const auto room = static_cast<int64_t>(kUnpackedExpertBytes);
  const int64_t at_once = std::clamp<int64_t>(room / bytes, 1, weights.count());
  auto* unpacked = static_cast<std::byte*>(unpacked_.get(usize(at_once * bytes)));
  for (call.first = 0; call.first < weights.count(); call.first += at_once) {
    const int64_t count = std::min(at_once, weights.count() - call.first);
    unpack_blocks(experts.stacked->parts.front(), call.first * call.outputs, count * call.outputs,
                  {unpacked, ValueType::kBf16, nullptr}, stream_.get());
    std::vector<ExpertMatrix> table(usize(count));
    std::vector<const void*> addresses(table.size());
    for (int64_t e = 0; e < count; ++e)
      table[usize(e)].values = addresses[usize(e)] = unpacked + usize(e * bytes);
    call.weights =
        static_cast<const ExpertMatrix*>(ring_.upload(table.data(), table.size() * sizeof(table[0])));
    call.host_weights = addresses;
    grouped_.run(call, counts, ring_);
  }
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
  multiply_groups(memory.x, experts.gate_up, memory.gate_up, counts);
  if (experts.gate_up_bias.data != nullptr) {
    add_expert_bias(memory.gate_up.data, ids, sorted.slot_of, choices, experts.gate_up_bias.ptr<float>(),
                    2 * width, stream_.get());
  }
  gate(memory.gate_up.slice_rows(0, choices), experts.activation, memory.gated.slice_rows(0, choices));
  multiply_groups(memory.gated, experts.down, memory.out, counts);
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
