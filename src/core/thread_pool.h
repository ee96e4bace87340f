// Threads of one owner. They wait for a job by spinning for a moment, because the jobs of a prefill or of a
// decode step follow each other within microseconds, then yield their cores to other programs, and then
// sleep.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/threads.h"

namespace claa {

class ThreadPool : public Threads {
 public:
  // Starts count - 1 threads. Throws Error{kOutOfMemory} when the system refuses one.
  explicit ThreadPool(int count);
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int count() const override { return count_; }

 protected:
  // Jobs of several callers run one after the other. A job within a piece of the same pool runs in its thread
  // alone.
  void do_run(int64_t pieces, Call call, const void* context) override;

 private:
  struct Job {
    Call call = nullptr;
    const void* context = nullptr;
    int64_t pieces = 0;
  };
  // The share of one thread: the job's number in the upper half, and how many of its pieces nobody has begun
  // in the lower one. A thread that comes late sees another number and takes nothing.
  struct alignas(64) Share {
    std::atomic<uint64_t> state{0};
  };
  int64_t share_end(int thread) const { return job_.pieces * (thread + 1) / count_; }
  bool take(int share, uint32_t number, int64_t& index);
  // Does pieces until none is left, those of the own share first.
  void work(uint32_t number, int thread);
  void do_piece(int64_t index, int thread);
  void wait_for_jobs(int thread);
  void stop();

  const int count_;
  std::mutex callers_;
  Job job_;
  std::unique_ptr<Share[]> shares_;
  alignas(64) std::atomic<uint32_t> number_{0};  // of the latest job
  alignas(64) std::atomic<uint32_t> done_{0};    // pieces of it
  std::atomic<bool> failed_{false}, stopping_{false};
  std::exception_ptr error_;
  std::vector<std::thread> threads_;
};

}  // namespace claa
