// Tiled attention with an online softmax, and window scores, over packed K and V.
#pragma once

#include <span>

#include "backend/backend.h"
#include "backend/cpu/aligned.h"
#include "backend/cpu/kernels.h"
#include "core/threads.h"

namespace claa::cpu {

// K as transposed panels and V as padded rows, in the units of the kernels: f32, or pairs of bf16.
class CpuPackedKv : public PackedKv {
 public:
  // Without `values`, for scores alone, V is left out.
  void pack(const Kernels& kernels, const KvView& kv, Threads& threads, bool values = true);

  int64_t length = 0;
  int64_t depth = 0;        // units of one key: head_size, or half of it for pairs
  int64_t padded_head = 0;  // head_size rounded up to the panel
  int64_t panels = 0;       // key panels a head
  bool pairs = false;
  // K unit (head, panel, unit, column) at k(head) + panel * depth * width + unit * width + column
  const uint32_t* k(int64_t head) const { return k_.data() + head * k_stride_; }
  const uint32_t* v(int64_t head) const { return v_.data() + head * v_stride_; }

 private:
  // `wide` has room for one key in f32.
  void pack_keys(const Kernels& kernels, const KvView& kv, int64_t head, int64_t panel, float* wide);
  void pack_values(const Kernels& kernels, const KvView& kv, int64_t head, int64_t panel);
  AlignedVector<uint32_t> k_, v_;
  int64_t k_stride_ = 0, v_stride_ = 0;
};

// What the sink of a head adds to a sum of exponentials relative to the logit `top`.
float sink_share(const SoftmaxRule& rule, int64_t head, float top);
// o[head_size] / sum -> columns [column, column + head_size) of a row of out.
void store_row(const Kernels& kernels, const float* o, float sum, int64_t head_size, const Tensor& out,
               int64_t row, int64_t column);

void attention(const Kernels& kernels, const Tensor& q, const KvView& kv, const CpuPackedKv& packed,
               const VisibleSlots& visible, const SoftmaxRule& rule, const Tensor& out, Threads& threads);
// For few query rows: reads K and V where they lie (few_rows.cc).
void attention_few_rows(const Kernels& kernels, const Tensor& q, const KvView& kv,
                        const VisibleSlots& visible, const SoftmaxRule& rule, const Tensor& out,
                        Threads& threads);

// `packed` may be null: keys are then read where they lie.
void window_scores(const Kernels& kernels, const Tensor& q, const KvView& kv, const CpuPackedKv* packed,
                   const ScoreSpec& spec, const SoftmaxRule& rule, const Tensor& out, Threads& threads);

}  // namespace claa::cpu
