// The operations of the CUDA backend on experts. Many rows go to one expert after the other, whose rows the
// host has to know; few, as in decoding, find their experts on the device.
#include "backend/cuda/convert.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/experts.h"
#include "core/usize.h"

namespace claa::cuda {
namespace {

struct CudaExperts : PackedExperts {
  Buffer table;  // ExpertMatrix [experts]
};

const ExpertMatrix* table_of(const PackedExperts& experts) {
  return static_cast<const ExpertMatrix*>(static_cast<const CudaExperts&>(experts).table.data());
}

}  // namespace

std::unique_ptr<PackedExperts> CudaBackend::prepare_experts(std::span<const WeightSource> sources) {
  auto experts = std::make_unique<CudaExperts>();
  experts->each = std::move(Backend::prepare_experts(sources)->each);
  std::vector<ExpertMatrix> table;
  for (const auto& weight : experts->each) {
    const auto& matrix = static_cast<const CudaWeight&>(*weight);
    table.push_back({matrix.memory.data(), static_cast<const float*>(matrix.scales.data())});
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
  const int64_t rows = x.rows(), used = choice.ids.columns();
  if (rows * used > memory.gated.rows()) return Backend::mix_experts(x, experts, choice, memory, hidden);
  const auto& first = static_cast<const CudaWeight&>(*experts.gate_up.each.front());
  FewRows call;
  call.type = first.fp8 ? ExpertType::kFp8 : x.dtype == DType::kBF16 ? ExpertType::kBf16 : ExpertType::kF32;
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
