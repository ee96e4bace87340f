// Tensors in the form that the kernels take.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/view.h"

namespace claa::cuda {

inline View view_of(const Tensor& t) {
  return {t.data, t.dtype == DType::kBF16, t.planes(), t.rows(), t.columns(), t.stride[0], t.stride[1]};
}
inline ValueType value_type(DType dtype) {
  return dtype == DType::kF8 ? ValueType::kFp8 : dtype == DType::kBF16 ? ValueType::kBf16 : ValueType::kF32;
}
inline RopeView view_of(const RopeTable& table) {
  return {table.cos.ptr<float>(), table.sin.ptr<float>(), table.cos.columns(), table.interleaved};
}
inline Fold fold_of(Reduce reduce) {
  return reduce == Reduce::kKeep ? Fold::kKeep : reduce == Reduce::kSum ? Fold::kSum : Fold::kMax;
}

}  // namespace claa::cuda
