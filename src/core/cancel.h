// A cancellation token: one thread sets it, the computing thread checks it before every chunk of rows.
#pragma once

#include <atomic>

#include "core/check.h"

namespace claa {

using CancelFlag = std::atomic<bool>;

inline void check_cancelled(const CancelFlag* flag) {
  if (flag != nullptr && flag->load(std::memory_order_relaxed)) {
    throw Error(ErrorCode::kCancelled, "cancelled by the caller");
  }
}

}  // namespace claa
