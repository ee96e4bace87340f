// Attention of rows that see any range of the keys. Asynchronous on `stream`.
#pragma once

#include "backend/cuda/view.h"

namespace claa::cuda {

// Largest head size of attention_rows().
inline constexpr int64_t kMaxHeadSize = 512;

// Bytes of scratch for attention_rows() of `rows` rows that see up to `length` keys; 0 if none is needed.
size_t attention_scratch(int64_t rows, int64_t heads, int64_t head_size, int64_t length);

// The slots that each row sees, on the device: [first[r], end[r]); without `first` from slot 0 on.
struct Visible {
  const int32_t* first = nullptr;
  const int32_t* end = nullptr;
};

// What a softmax has beside its logits (SoftmaxRule of ops.h), on the device.
struct Softmax {
  float soft_cap = 0;
  const float* sinks = nullptr;  // [query heads]
};

// Row r of q [rows, heads * head size] sees some slots of k and v [KV heads, slots, head size], of which
// `length` are valid; both ends of what is seen ascend. All types are alike; sums are in f32. bf16 with a
// head size that is a multiple of 16 runs on the tensor cores when there is more than a handful of rows, and
// rounds probabilities to bf16. `length` may be more than what is visible: results are the same bit for bit.
void attention_rows(const View& q, const View& k, const View& v, int64_t length, Visible visible,
                    Softmax softmax, const View& out, void* scratch, cudaStream_t stream);

}  // namespace claa::cuda
