// main() of the tests that need a GPU: without one they are skipped, and say so.
#include <gtest/gtest.h>

#include <cstdio>

#include "backend/plugin.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  constexpr int kSkipped = 77;  // SKIP_RETURN_CODE of the tests
  if (!GTEST_FLAG_GET(list_tests) && !claa::cuda_usable()) {
    std::puts("skipped: this machine has no GPU that the CUDA backend can use");
    return kSkipped;
  }
  return RUN_ALL_TESTS();
}
