// Elements of tensors of f32 or bf16, one at a time.
#pragma once

#include "core/tensor.h"

namespace claa::reference {

inline float get(const Tensor& t, int64_t plane, int64_t row, int64_t column) {
  return t.dtype == DType::kBF16 ? to_float(t.ptr<Bf16>(plane, row)[column])
                                 : t.ptr<float>(plane, row)[column];
}
inline void put(const Tensor& t, int64_t plane, int64_t row, int64_t column, float value) {
  if (t.dtype == DType::kBF16) {
    t.ptr<Bf16>(plane, row)[column] = to_bf16(value);
  } else {
    t.ptr<float>(plane, row)[column] = value;
  }
}

}  // namespace claa::reference
