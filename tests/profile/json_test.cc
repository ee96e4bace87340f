// The JSON reader: what RFC 8259 allows, what it forbids, and what the values are.
#include "text/json.h"

#include <gtest/gtest.h>

namespace claa {
namespace {

TEST(Json, ReadsEveryKindOfValue) {
  const std::string text = R"( {"a": [1, -2.5e1, true, false, null, {}, []], "b": "x"} )";
  const std::optional<Json> json = parse_json(text);
  ASSERT_TRUE(json);
  EXPECT_TRUE(json->is(Json::Kind::kObject));
  const Json* list = json->find("a");
  ASSERT_NE(list, nullptr);
  ASSERT_EQ(list->items.size(), 7u);
  EXPECT_EQ(list->items[0].integer(), 1);
  EXPECT_EQ(list->items[1].integer(), std::nullopt);
  EXPECT_EQ(list->items[1].number(), -25.0);
  EXPECT_EQ(list->items[1].source, "-2.5e1");
  EXPECT_EQ(list->items[2].source, "true");
  EXPECT_TRUE(list->items[4].is(Json::Kind::kNull));
  EXPECT_EQ(list->items[0].text, "");
  EXPECT_EQ(json->find("b")->text, "x");
  EXPECT_EQ(json->find("b")->integer(), std::nullopt);
  EXPECT_EQ(json->find("c"), nullptr);
}

TEST(Json, TheLastOfTwoMembersCounts) {
  const std::optional<Json> json = parse_json(R"({"a":1,"a":2})");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->find("a")->integer(), 2);
}

TEST(Json, DecodesEscapes) {
  const std::optional<Json> json = parse_json(R"("\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00ü")");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->text, "\"\\/\b\f\n\r\té€😀ü");
}

TEST(Json, IntegersMustFit) {
  EXPECT_EQ(parse_json("9223372036854775807")->integer(), INT64_MAX);
  EXPECT_EQ(parse_json("9223372036854775808")->integer(), std::nullopt);
  EXPECT_EQ(parse_json("1e400")->number(), std::nullopt);
}

TEST(Json, IsNoDeeperThan32) {
  EXPECT_TRUE(parse_json(std::string(32, '[') + std::string(32, ']')));
  EXPECT_FALSE(parse_json(std::string(33, '[') + std::string(33, ']')));
  EXPECT_FALSE(parse_json(std::string(100000, '[')));
}

TEST(Json, HasAsManyValuesAsAllowed) {
  EXPECT_TRUE(parse_json("[1,[2,{\"a\":3}]]", 6));
  EXPECT_FALSE(parse_json("[1,[2,{\"a\":3}]]", 5));
}

class NoJson : public testing::TestWithParam<const char*> {};

TEST_P(NoJson, IsRefused) {
  EXPECT_FALSE(parse_json(GetParam())) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(All, NoJson,
                         testing::Values("", " ", "{", "}", "[1,]", "[,]", "{\"a\":1,}", "{\"a\"}", "{a:1}",
                                         "{\"a\":}", "01", "-", "1.", ".5", "+1", "1e", "0x1", "NaN", "tru",
                                         "nulls", "\"", "\"\\x\"", "\"\\u12\"", "\"\\u-123\"", "\"\\ud800\"",
                                         "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "1 2", "[1] x",
                                         "\"\xff\"", "// c\n1", "'a'"));

}  // namespace
}  // namespace claa
