#include "backend/cpu/omp_threads.h"

#include <omp.h>

#include <atomic>
#include <exception>
#include <vector>

#include "core/usize.h"

namespace claa::cpu {

void OmpThreads::do_run(int64_t pieces, Call call, const void* context) {
  if (pieces <= 1 || count_ == 1) {
    for (int64_t index = 0; index < pieces; ++index) call(context, index, 0);
    return;
  }
  std::vector<std::atomic<int64_t>> next(usize(count_));  // piece of each share
  for (int share = 0; share < count_; ++share) next[usize(share)] = pieces * share / count_;
  std::atomic<bool> failed = false;
  std::exception_ptr error;
#pragma omp parallel num_threads(count_)
  {
    const int thread = omp_get_thread_num();
    for (int i = 0; i < count_; ++i) {
      const int share = (thread + i) % count_;
      const int64_t end = pieces * (share + 1) / count_;
      int64_t index = 0;
      while (!failed && (index = next[usize(share)].fetch_add(1)) < end) {
        try {
          call(context, index, thread);
        } catch (...) {
          if (!failed.exchange(true)) error = std::current_exception();
        }
      }
    }
  }
  if (error) std::rethrow_exception(error);
}

OmpThreadCount::OmpThreadCount(int count) : before_(omp_get_max_threads()) {
  omp_set_num_threads(count);
}

OmpThreadCount::~OmpThreadCount() {
  omp_set_num_threads(before_);
}

}  // namespace claa::cpu
