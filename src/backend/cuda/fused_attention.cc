#include "backend/cuda/fused_attention.h"

#include <unordered_map>

#include "backend/cuda/attention_plans.h"
#include "backend/cuda_traits.h"

namespace claa::cuda {

struct FusedAttention::Library {
  explicit Library(cudaStream_t s) : stream(s), plans(s) {}
  cudaStream_t stream;
  AttentionPlans plans;
};

FusedAttention::FusedAttention(cudaStream_t stream) : library_(std::make_unique<Library>(stream)) {}
FusedAttention::~FusedAttention() = default;

void FusedAttention::prompt_begins() {
  library_->plans.prompt_begins();
}

bool FusedAttention::run(const Tensor& q, const KvView& kv, int64_t first, UploadRing& ring,
                         const Tensor& out) {
  const int64_t d = kv.k.columns(), slots = kv.k.stride[0] / d, keys = first + q.rows();
  const int64_t row_bucket = padded_rows(q.rows()), key_bucket = std::min(slots, padded_rows(keys));
  const AttentionShape shape{q.columns() / d,
                             kv.k.planes(),
                             d,
                             row_bucket,
                             key_bucket,
                             q.stride[1],
                             out.stride[1],
                             kv.k.stride[0],
                             kv.v.stride[0],
                             first == 0,
                             row_bucket == q.rows() && key_bucket == keys};
  const AttentionPlan& plan = library_->plans.get(shape);
  if (plan.graph == nullptr) return false;
  const Buffer workspace = allocate_async(plan.workspace, library_->stream);
  std::unordered_map<int64_t, void*> pack = {
      {kQ, q.data}, {kK, kv.k.data}, {kV, kv.v.data}, {kOut, out.data}};
  if (!shape.exact) {
    const int32_t lengths[] = {static_cast<int32_t>(q.rows()), static_cast<int32_t>(keys)};
    // The library takes non-const pointers to its inputs too.
    pack[kLengthQ] = const_cast<void*>(ring.upload(&lengths[0], sizeof(int32_t)));
    pack[kLengthKv] = const_cast<void*>(ring.upload(&lengths[1], sizeof(int32_t)));
  }
  auto status = plan.graph->execute(library_->plans.handle(), pack, workspace.data());
  if (status.is_bad()) fail(ErrorCode::kInternal, "attention: {}", status.get_message());
  return true;
}

}  // namespace claa::cuda
