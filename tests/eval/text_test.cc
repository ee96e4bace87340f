// Lengths of texts in pictures and tables.
#include "eval/draw/text.h"

#include <gtest/gtest.h>

namespace claa::eval {
namespace {

TEST(Text, IsCutAtWholeCharacters) {
  EXPECT_EQ(count_characters("äb東🙂"), 4u);
  EXPECT_EQ(shortened("äb東🙂", 4), "äb東🙂");
  EXPECT_EQ(shortened("äb東🙂", 3), "äb東…");
  EXPECT_EQ(shortened("äb", 0), "…");
}

}  // namespace
}  // namespace claa::eval
