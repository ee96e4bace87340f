// The doors to JSON, CSV, HTML and Markdown.
#include <gtest/gtest.h>

#include <limits>

#include "output/csv.h"
#include "output/html.h"
#include "output/json.h"
#include "output/markdown.h"

namespace claa {
namespace {

namespace json = boost::json;

TEST(JsonText, NumbersAreFinite) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN(),
                   kInf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(json_text({{"a", kNan}, {"b", {{"c", {1, kInf, -kInf}}}}}),
            R"({"a":null,"b":{"c":[1,null,null]}})");
}

TEST(JsonText, StringsAndNamesAreValidAndVisible) {
  EXPECT_EQ(json_text({{"caf\xE9", "\x1b]0;x\x07"}}), "{\"caf\uFFFD\":\"\\u001b]0;x\\u0007\"}");
  EXPECT_EQ(json_text(json::string("\x7f\u009b\u202e")), R"("\u007f\u009b\u202e")");
  // Whoever reads it gets the text, and not a picture of it.
  EXPECT_EQ(json::parse(json_text(json::string("\x1b\u009b\n\""))).as_string(), "\x1b\u009b\n\"");
}

TEST(CsvField, IsQuotedWhereItMustBe) {
  EXPECT_EQ(csv_field("plain text"), "plain text");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("a;b"), "\"a;b\"");
  EXPECT_EQ(csv_field("say \"x\"\n"), "\"say \"\"x\"\"␊\"");
  EXPECT_EQ(csv_field("caf\xE9\r"), "caf\uFFFD␍");
}

TEST(CsvField, IsNoFormula) {
  for (const char* formula : {"=1+1", "+1", "-1", "@SUM(A1)"})
    EXPECT_EQ(csv_field(formula), std::string("'") + formula);
  EXPECT_EQ(csv_field(" =1"), "' =1");
  EXPECT_EQ(csv_field("\n=1"), "␊=1");
  EXPECT_EQ(csv_field("=HYPERLINK(\"x\",\"y\")"), "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
  EXPECT_EQ(csv_field("a=1"), "a=1");
}

TEST(CsvComment, HasNoCellThatIsAFormula) {
  const std::string json = json_text({{"a", "x,=1;=2\",=3\\"}, {"b", {"=4", 5}}});
  const std::string line = csv_comment(json);
  EXPECT_EQ(line.substr(0, 2), "# ");
  for (const char* cell : {",=", ";=", ",\"="}) EXPECT_EQ(line.find(cell), std::string::npos) << line;
  EXPECT_EQ(json::parse(line.substr(2)), json::parse(json));
}

TEST(EscapeHtml, MakesTextOfMarkup) {
  EXPECT_EQ(escape_html("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  EXPECT_EQ(escape_html("two\nlines\n"), "two\nlines\n");
  EXPECT_EQ(escape_html("\x1b\xFF\u202e"), "␛\uFFFD\\u{202e}");
  EXPECT_EQ(escape_html(""), "");
}

TEST(MarkdownCell, EndsNoCellAndBeginsNoTag) {
  EXPECT_EQ(markdown_cell("a|b\n<script>"), "a\\|b␊\\<script>");
  EXPECT_EQ(markdown_code("{\"a\":\"`|\"}"), "`{\"a\":\"'\\|\"}`");
}

}  // namespace
}  // namespace claa
