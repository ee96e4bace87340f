// Tiled attention with an online softmax on 8-bit products. A key, a query and a value have one scale each,
// so that no row depends on a later token; a value's scale is multiplied into its probabilities, which are
// relative to the largest of their block of keys, so that a long tail beside one large probability is not
// lost.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/aligned.h"
#include "backend/cpu/int_kernels.h"
#include "backend/cpu/kernels.h"
#include "core/threads.h"

namespace claa::cpu {

class IntPackedKv : public PackedKv {
 public:
  void pack(const IntKernels& kernels, const KvView& kv, Threads& threads);

  int64_t depth = 0;        // units of four of a key
  int64_t padded_head = 0;  // head_size rounded up to the panel
  const uint32_t* k(int64_t head) const { return k_.data() + head * k_stride_; }
  const uint32_t* v(int64_t head) const { return v_.data() + head * v_stride_; }
  // The keys from `key` on.
  IntKeys keys(int64_t head, int64_t key) const;
  const float* inverse_value(int64_t head, int64_t key) const {
    return inverse_value_.data() + head * slots_ + key;
  }

 private:
  void pack_key(const IntKernels& kernels, const void* row, bool bf16, int64_t head_size, int64_t head,
                int64_t slot);
  // Packs the values of the slots [slot, slot + 4).
  void pack_values(const IntKernels& kernels, const std::array<const void*, 4>& rows, bool bf16,
                   int64_t head_size, int64_t head, int64_t slot);
  AlignedVector<uint32_t> k_;       // [heads, panels, depth, panel] fours along the head
  AlignedVector<uint32_t> v_;       // [heads, slots / 4, padded_head] fours along the slots
  AlignedVector<int32_t> offsets_;  // [heads, slots], see IntKeys
  AlignedVector<float> key_scale_, log_value_, inverse_value_;  // [heads, slots]
  int64_t k_stride_ = 0, v_stride_ = 0, slots_ = 0;
};

// As attention() of attention.h; head sizes up to kIntMaxHead, and no soft cap.
void int_attention(const IntKernels& kernels, const Kernels& floats, const Tensor& q, const KvView& kv,
                   const IntPackedKv& packed, const VisibleSlots& visible, const SoftmaxRule& rule,
                   const Tensor& out, Threads& threads);

}  // namespace claa::cpu
