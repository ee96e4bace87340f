// Text from files on its way to people.
#include "text/visible.h"

#include <gtest/gtest.h>

#include "text/utf8.h"

namespace claa {
namespace {

TEST(VisibleText, ControlsBecomeSymbolsOrNumbers) {
  EXPECT_EQ(visible_text("a\x1b[31m\r\n\tb\x7f"), "a␛[31m␍\n\tb␡");
  EXPECT_EQ(visible_text(std::string_view("\0", 1)), "␀");
  EXPECT_EQ(visible_text("\u009b1m"), "\\u{9b}1m") << "the one-character form of ESC [";
  EXPECT_EQ(visible_text("\u202eevil\u2066"), "\\u{202e}evil\\u{2066}");
}

TEST(VisibleText, OtherTextIsLeftAlone) {
  for (const char* text : {"", "naïve 日本 👩‍👧", "\u00a0\u2028\u200d", "<b>&amp;</b>"})
    EXPECT_EQ(visible_text(text), text);
}

TEST(VisibleText, IllFormedBytesAreReplaced) {
  EXPECT_EQ(visible_text("\xC3\x28"), "\uFFFD(");
  EXPECT_EQ(visible_text("cut \xF0\x9F"), "cut \uFFFD");
  EXPECT_EQ(visible_text("\xEF\xBF\xBE\xEF\xBF\xBF\xEF\xBF\xBD"), "\uFFFD\uFFFD\uFFFD")
      << "XML has no U+FFFE and U+FFFF";
}

TEST(VisibleLine, IsOneLine) {
  EXPECT_EQ(visible_line("name\nchat template  yes\t"), "name␊chat template  yes␉");
}

// Every byte and every pair of bytes: valid, without controls, and the same when it goes through again.
TEST(VisibleLine, NothingControlsATerminal) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string shown =
          visible_line(std::string{static_cast<char>(first), static_cast<char>(second)});
      ASSERT_EQ(valid_utf8_prefix(shown), shown.size());
      for (const char c : shown)
        ASSERT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) << first << " " << second;
      ASSERT_EQ(visible_text(shown), shown);
    }
  }
}

TEST(VisibleBytes, ShowsWhatIsNoText) {
  EXPECT_EQ(visible_bytes("se\nond\xff"), "se\\x0aond\\xff");
  EXPECT_EQ(visible_bytes("abcdef", 3), "abc...");
  EXPECT_EQ(visible_bytes("abc", 3), "abc");
}

}  // namespace
}  // namespace claa
