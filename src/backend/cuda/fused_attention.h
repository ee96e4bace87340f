// Causal attention of consecutive rows through cuDNN. Plans are made for buckets of lengths and cached, with
// the true lengths as data, so that a new prompt length rarely needs a new plan.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/cuda/memory.h"

namespace claa::cuda {

class FusedAttention {
 public:
  static constexpr int64_t kLeastRows = 64;  // fewer rows are left to the kernels of attention.h

  explicit FusedAttention(cudaStream_t stream);
  ~FusedAttention();
  FusedAttention(const FusedAttention&) = delete;
  FusedAttention& operator=(const FusedAttention&) = delete;

  // A process that answers more than one or two prompts makes plans ahead.
  void prompt_begins();
  // Row r of q sees slots [0, first + r + 1). Returns false, and does nothing, when the library has no plan
  // for the shape. q and out have memory for padded_rows(q.rows()) rows (backend/cuda_traits.h); slots behind
  // the valid ones hold finite values.
  bool run(const Tensor& q, const KvView& kv, int64_t first, UploadRing& ring, const Tensor& out);

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace claa::cuda
