#include "core/counts.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace claa {
namespace {

TEST(GroupDigits, CutsThreeByThree) {
  EXPECT_EQ(group_digits(0), "0");
  EXPECT_EQ(group_digits(999), "999");
  EXPECT_EQ(group_digits(1000), "1,000");
  EXPECT_EQ(group_digits(size_t{1234567}), "1,234,567");
  EXPECT_EQ(group_digits(-999), "-999");
  EXPECT_EQ(group_digits(-123456), "-123,456");
  EXPECT_EQ(group_digits(std::numeric_limits<uint64_t>::max()), "18,446,744,073,709,551,615");
  EXPECT_EQ(group_digits(std::numeric_limits<int64_t>::min()), "-9,223,372,036,854,775,808");
}

}  // namespace
}  // namespace claa
