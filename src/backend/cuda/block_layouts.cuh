// The layouts of all block formats that a GPU multiplies.
#pragma once

#include "backend/cuda/block_formats.cuh"
#include "backend/cuda/block_grids.cuh"

namespace claa::cuda {

// Calls f(Format{}) with the layout of a format.
template <typename F>
void with_format(BlockFormat format, F&& f) {
  switch (format) {
    case BlockFormat::kQ8_0:
      return f(Q8_0{});
    case BlockFormat::kQ4_0:
      return f(Q4_0{});
    case BlockFormat::kQ4_1:
      return f(Q4_1{});
    case BlockFormat::kQ5_0:
      return f(Q5_0{});
    case BlockFormat::kQ5_1:
      return f(Q5_1{});
    case BlockFormat::kQ2_K:
      return f(Q2_K{});
    case BlockFormat::kQ3_K:
      return f(Q3_K{});
    case BlockFormat::kQ4_K:
      return f(Q4_K{});
    case BlockFormat::kQ5_K:
      return f(Q5_K{});
    case BlockFormat::kQ6_K:
      return f(Q6_K{});
    case BlockFormat::kIQ4_NL:
      return f(IQ4_NL{});
    case BlockFormat::kIQ4_XS:
      return f(IQ4_XS{});
    case BlockFormat::kMXFP4:
      return f(MXFP4{});
    case BlockFormat::kNVFP4:
      return f(NVFP4{});
    case BlockFormat::kTQ1_0:
      return f(TQ1_0{});
    case BlockFormat::kTQ2_0:
      return f(TQ2_0{});
    case BlockFormat::kIQ1_S:
      return f(IQ1_S{});
    case BlockFormat::kIQ1_M:
      return f(IQ1_M{});
    case BlockFormat::kIQ2_XXS:
      return f(IQ2_XXS{});
    case BlockFormat::kIQ2_XS:
      return f(IQ2_XS{});
    case BlockFormat::kIQ2_S:
      return f(IQ2_S{});
    case BlockFormat::kIQ3_XXS:
      return f(IQ3_XXS{});
    case BlockFormat::kIQ3_S:
      return f(IQ3_S{});
    case BlockFormat::kF16:
    case BlockFormat::kBF16:
      return;  // is widened (cuda_traits.h)
  }
}

}  // namespace claa::cuda
