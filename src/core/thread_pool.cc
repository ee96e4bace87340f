#include "core/thread_pool.h"

#include <chrono>
#include <system_error>
#include <utility>

#include "core/check.h"
#include "core/usize.h"

namespace claa {
namespace {

// Time that a thread spins before it yields its core: more than there is between two jobs of a decode
// step, and little of what a scheduler gives another program's thread.
constexpr std::chrono::microseconds kSpin{50};
// Time that it goes on looking, while it yields its core, before it sleeps. Waking a sleeper takes about as
// long as a small job, and the threads of a prefill wait for each other some hundred times.
constexpr std::chrono::microseconds kYield{2000};

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns true as soon as ready() does, or false after a moment.
template <class Ready>
bool spin_until(const Ready& ready) {
  constexpr int kPausesBetweenLooks = 32;
  if (ready()) return true;
  const auto begin = std::chrono::steady_clock::now();
  auto now = begin;
  do {
    for (int i = 0; i < kPausesBetweenLooks; ++i) {
      pause();
      if (ready()) return true;
    }
    now = std::chrono::steady_clock::now();
  } while (now < begin + kSpin);
  while (now < begin + kSpin + kYield) {
    std::this_thread::yield();
    if (ready()) return true;
    now = std::chrono::steady_clock::now();
  }
  return false;
}

// The pool whose piece this thread is doing.
thread_local const ThreadPool* inside = nullptr;

class Inside {
 public:
  explicit Inside(const ThreadPool* pool) : before_(inside) { inside = pool; }
  ~Inside() { inside = before_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  const ThreadPool* before_;
};

}  // namespace

ThreadPool::ThreadPool(int count)
    : count_(std::max(1, count)), shares_(std::make_unique<Share[]>(usize(count_))) {
  threads_.reserve(usize(count_ - 1));  // no thread may run when memory is short
  try {
    for (int thread = 1; thread < count_; ++thread) {
      threads_.emplace_back([this, thread] { wait_for_jobs(thread); });
    }
  } catch (const std::system_error& error) {
    stop();
    fail(ErrorCode::kOutOfMemory, "cannot start {} threads ({}); choose fewer", count_, error.what());
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  stopping_.store(true);
  number_.fetch_add(1);
  number_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::wait_for_jobs(int thread) {
  const Inside here(this);
  uint32_t seen = 0;
  while (true) {
    if (!spin_until([&] { return number_.load(std::memory_order_acquire) != seen; })) number_.wait(seen);
    seen = number_.load(std::memory_order_acquire);
    if (stopping_.load()) return;
    work(seen, thread);
  }
}

bool ThreadPool::take(int share, uint32_t number, int64_t& index) {
  std::atomic<uint64_t>& state = shares_[usize(share)].state;
  uint64_t now = state.load(std::memory_order_acquire);
  while (now >> 32 == number && static_cast<uint32_t>(now) > 0) {
    if (state.compare_exchange_weak(now, now - 1, std::memory_order_acq_rel)) {
      // The job cannot end before this piece is done, so that it may be read.
      index = share_end(share) - static_cast<int64_t>(static_cast<uint32_t>(now));
      return true;
    }
  }
  return false;
}

void ThreadPool::do_piece(int64_t index, int thread) {
  if (failed_.load(std::memory_order_relaxed)) return;
  try {
    job_.call(job_.context, index, thread);
  } catch (...) {
    if (!failed_.exchange(true)) error_ = std::current_exception();
  }
}

void ThreadPool::work(uint32_t number, int thread) {
  uint32_t done = 0;
  int64_t pieces = 0, index = 0;
  for (int i = 0; i < count_; ++i) {
    while (take((thread + i) % count_, number, index)) {
      pieces = job_.pieces;
      do_piece(index, thread);
      ++done;
    }
  }
  if (done > 0 && done_.fetch_add(done, std::memory_order_acq_rel) + done == pieces) done_.notify_all();
}

void ThreadPool::do_run(int64_t pieces, Call call, const void* context) {
  if (count_ == 1 || pieces == 1 || inside == this) {
    for (int64_t index = 0; index < pieces; ++index) call(context, index, 0);
    return;
  }
  if (pieces <= 0) return;
  require(pieces <= UINT32_MAX, "a job of too many pieces");
  const std::lock_guard lock(callers_);
  const Inside here(this);
  job_ = {call, context, pieces};
  error_ = nullptr;
  failed_.store(false, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  const uint32_t number = number_.load(std::memory_order_relaxed) + 1;
  for (int thread = 0; thread < count_; ++thread) {
    const auto share = static_cast<uint64_t>(share_end(thread) - share_end(thread - 1));
    shares_[usize(thread)].state.store(uint64_t{number} << 32 | share, std::memory_order_release);
  }
  number_.store(number);  // in order with the look for sleepers that notify_all() begins with
  number_.notify_all();
  work(number, 0);
  const auto finished = [&] { return done_.load(std::memory_order_acquire) == pieces; };
  if (!spin_until(finished)) {
    for (uint32_t now = done_.load(); now != pieces; now = done_.load()) done_.wait(now);
  }
  if (failed_.load()) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace claa
