// The threads of OpenMP as Threads: for backends that call oneDNN, which has no others. One team does both,
// so that no waiting thread of one keeps a core from the other.
#pragma once

#include "core/threads.h"

namespace claa::cpu {

class OmpThreads : public Threads {
 public:
  explicit OmpThreads(int count) : count_(count) {}
  int count() const override { return count_; }

 protected:
  void do_run(int64_t pieces, Call call, const void* context) override;

 private:
  int count_;
};

// oneDNN takes its number of threads from a setting of the calling thread, which gets its own value back.
class OmpThreadCount {
 public:
  explicit OmpThreadCount(int count);
  ~OmpThreadCount();
  OmpThreadCount(const OmpThreadCount&) = delete;
  OmpThreadCount& operator=(const OmpThreadCount&) = delete;

 private:
  int before_;
};

}  // namespace claa::cpu
