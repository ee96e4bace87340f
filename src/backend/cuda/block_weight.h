// A weight that stays the blocks of its file, on its way to the device.
#pragma once

#include "backend/cuda/linear.h"
#include "backend/weight.h"

namespace claa::cuda {

// The planes of all parts, and in FP8 the scale of each row; for a source with stays_blocks()
// (cuda_traits.h). Throws what source.fill() does for values that are not finite.
std::unique_ptr<CudaWeight> prepare_blocks(const WeightSource& source, bool fp8, cudaStream_t stream);

}  // namespace claa::cuda
