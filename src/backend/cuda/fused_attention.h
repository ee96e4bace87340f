// Causal attention of consecutive rows through cuDNN. Plans are made for buckets of lengths and kept, with
// the true lengths as data, so that a new prompt length seldom needs a new plan.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/cuda/memory.h"

namespace claa::cuda {

// Rows of memory for `rows` rows of q, out, K or V, so that a plan for the bucket stays inside: an eighth of
// a power of two apart, at least 64.
int64_t padded_rows(int64_t rows);

class FusedAttention {
 public:
  static constexpr int64_t kLeastRows = 64;  // fewer are left to the kernels of attention.h

  explicit FusedAttention(cudaStream_t stream);
  ~FusedAttention();
  FusedAttention(const FusedAttention&) = delete;
  FusedAttention& operator=(const FusedAttention&) = delete;

  // Row r of q sees slots [0, first + r + 1). False, and nothing done, when the library has no plan for the
  // shape. q and out have memory for padded_rows(q.rows()) rows; slots behind the valid ones hold finite
  // values.
  bool run(const Tensor& q, const KvView& kv, int64_t first, UploadRing& ring, const Tensor& out);

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace claa::cuda
