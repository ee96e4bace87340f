// Text on its way into pictures, HTML and CSV.
#include "eval/draw/text.h"

#include <gtest/gtest.h>

namespace claa::eval {
namespace {

TEST(Text, IsMadeValidAndOneLine) {
  EXPECT_EQ(clean_text("a\nb\tc\x01"
                       "d\x7F"),
            "a b c d ");
  EXPECT_EQ(clean_text("\xC3\x28"), "\xEF\xBF\xBD(");
  EXPECT_EQ(clean_text("\xEF\xBF\xBE\xEF\xBF\xBF\xEF\xBF\xBD"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Text, IsCutAtWholeCharacters) {
  EXPECT_EQ(count_characters("äb東🙂"), 4u);
  EXPECT_EQ(shortened("äb東🙂", 4), "äb東🙂");
  EXPECT_EQ(shortened("äb東🙂", 3), "äb東…");
  EXPECT_EQ(shortened("äb", 0), "…");
}

TEST(Text, IsEscapedForHtml) {
  EXPECT_EQ(escape_html("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  EXPECT_EQ(escape_html("two\nlines\n"), "two\nlines\n");
  EXPECT_EQ(escape_html(""), "");
}

TEST(Text, IsQuotedForCsv) {
  EXPECT_EQ(csv_field("plain text"), "plain text");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("say \"x\"\n"), "\"say \"\"x\"\"\n\"");
}

}  // namespace
}  // namespace claa::eval
