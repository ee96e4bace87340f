// The gated delta rule: chunks of rows by products of matrices (the WY form of arXiv 2412.06464), few rows
// one by one.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/ops.h"
#include "core/threads.h"

namespace claa::cpu {

// As Ops::delta_rule(); the kernels multiply f32. No row's bits depend on rows after it.
void delta_rule(const Kernels& kernels, const Tensor& qkv, const DeltaHeads& heads, const DeltaRates& rates,
                const Tensor& memory, const Tensor& out, Threads& threads);

}  // namespace claa::cpu
