// Lines of progress on terminals of every width.
#include "cli/progress.h"

#include <gtest/gtest.h>

namespace claa::cli {
namespace {

TEST(Progress, ALineFitsAnyWidth) {
  const std::string text = "prefill, layer 1/30, 100/1,000 tokens";
  EXPECT_EQ(progress_line(0.5, text, 200), "[##############..............] " + text);
  EXPECT_EQ(progress_line(0.5, text, 50), "[#####.....] " + text);
  EXPECT_EQ(progress_line(0.5, text, 45), text);  // too narrow for a bar
  EXPECT_EQ(progress_line(0.5, text, 7), "prefill");
  for (int64_t columns = 0; columns < 100; ++columns) {
    EXPECT_LE(progress_line(1, text, columns).size(), static_cast<size_t>(columns));
  }
}

TEST(Progress, FractionsOutsideTheBarStayInIt) {
  EXPECT_EQ(progress_line(-1, "", 9), "[......] ");
  EXPECT_EQ(progress_line(7, "", 9), "[######] ");
}

TEST(Progress, CharactersAreWholeAndHarmless) {
  EXPECT_EQ(fit_columns("abc", 2), "ab");
  EXPECT_EQ(fit_columns("a\x1B[31m\n", 100), "a␛[31m␊");
  EXPECT_EQ(fit_columns("\xE6\x97\xA5\xE6\x9C\xAC", 3), "\xE6\x97\xA5");  // two columns each
  EXPECT_EQ(fit_columns("\xFF\xC2\x9B", 9), "\uFFFD\\u{9b}");  // no character, and a control character
  EXPECT_EQ(fit_columns("abc", 0), "");
}

}  // namespace
}  // namespace claa::cli
