// Threads that share a job: every piece is done once, an exception reaches the caller, and nothing is lost
// when callers, jobs within jobs and sleeping threads meet.
#include "core/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>

#include "core/check.h"
#include "core/usize.h"

namespace claa {
namespace {

TEST(ThreadPool, DoesEveryPieceOnce) {
  for (const int count : {1, 2, 3, 8}) {
    ThreadPool pool(count);
    EXPECT_EQ(pool.count(), count);
    for (const int64_t pieces : {0, 1, 2, 3, 7, 8, 100, 1000}) {
      std::vector<std::atomic<int>> done(usize(pieces));
      std::atomic<int> strange = 0;
      pool.run(pieces, [&](int64_t index, int thread) {
        ++done[usize(index)];
        if (thread < 0 || thread >= count) ++strange;
      });
      for (const std::atomic<int>& times : done) ASSERT_EQ(times, 1) << count << " threads, " << pieces;
      EXPECT_EQ(strange, 0);
    }
  }
}

TEST(ThreadPool, SplitsARangeWithoutGaps) {
  ThreadPool pool(3);
  for (const int64_t size : {0, 1, 2, 11, 12, 13, 1000}) {
    std::vector<std::atomic<int>> done(usize(size));
    pool.split(size, [&](int64_t first, int64_t end, int) {
      for (int64_t i = first; i < end; ++i) ++done[usize(i)];
    });
    for (const std::atomic<int>& times : done) ASSERT_EQ(times, 1) << size;
  }
}

// Two pieces that are under way at once never have the same thread number, so that scratch can be indexed by
// it.
TEST(ThreadPool, GivesEveryThreadANumberOfItsOwn) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> busy(4);
  std::atomic<int> clashes = 0;
  for (int job = 0; job < 200; ++job) {
    pool.run(64, [&](int64_t, int thread) {
      if (busy[usize(thread)].fetch_add(1) != 0) ++clashes;
      std::this_thread::yield();
      busy[usize(thread)].fetch_sub(1);
    });
  }
  EXPECT_EQ(clashes, 0);
}

TEST(ThreadPool, AnExceptionReachesTheCaller) {
  ThreadPool pool(3);
  for (int64_t bad : {0, 17, 63}) {
    try {
      pool.run(64, [&](int64_t index, int) {
        if (index == bad) fail(ErrorCode::kOutOfMemory, "piece {}", index);
      });
      FAIL() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
      EXPECT_EQ(error.what(), "piece " + std::to_string(bad));
    }
  }
  std::atomic<int64_t> sum = 0;  // and the pool goes on
  pool.run(10, [&](int64_t index, int) { sum += index; });
  EXPECT_EQ(sum, 45);
}

TEST(ThreadPool, SeveralCallersAndJobsWithinJobs) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int job = 0; job < 100; ++job) {
        pool.run(5, [&](int64_t, int) { pool.run(4, [&](int64_t index, int) { sum += index; }); });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 100 * 5 * 6);
}

// Between jobs the threads fall asleep, and the next one wakes them.
TEST(ThreadPool, SleepingThreadsWakeUp) {
  ThreadPool pool(2);
  std::atomic<int> here = 0;
  for (int job = 0; job < 5; ++job) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    here = 0;
    // Each piece waits for the other, which the caller cannot do as well.
    pool.run(2, [&](int64_t, int) {
      ++here;
      while (here < 2) std::this_thread::yield();
    });
  }
  EXPECT_EQ(here, 2);
}

}  // namespace
}  // namespace claa
