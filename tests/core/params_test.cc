// Parameters that are declared once: listing, reading, showing.
#include "claa/params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "claa/error.h"

namespace claa {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Params {
  int64_t count = 3;
  double rate = 0.25;
  std::string mode = "slow";
  template <class Visitor>
  void visit(Visitor& v) {
    static constexpr std::string_view kModes[] = {"slow", "fast"};
    v.integer("count", count, -2, 10, "how many");
    v.number("rate", rate, 0, 1, "how much");
    v.choice("mode", mode, kModes, "how");
  }
};

std::string refusal(const ParamValues& values) {
  try {
    read_params<Params>("thing", values);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "accepted";
}

TEST(Params, Lists) {
  const std::vector<ParamSpec> specs = list_params<Params>();
  ASSERT_EQ(specs.size(), 3u);
  EXPECT_EQ(specs[0].name, "count");
  EXPECT_EQ(specs[0].type, ParamType::kInteger);
  EXPECT_EQ(specs[0].default_value, "3");
  EXPECT_EQ(specs[0].minimum, -2);
  EXPECT_EQ(specs[0].maximum, 10);
  EXPECT_EQ(specs[0].help, "how many");
  EXPECT_EQ(specs[1].type, ParamType::kNumber);
  EXPECT_EQ(specs[1].default_value, "0.25");
  EXPECT_EQ(specs[2].type, ParamType::kChoice);
  EXPECT_EQ(specs[2].choices, (std::vector<std::string>{"slow", "fast"}));
}

TEST(Params, ReadsAndShows) {
  const Params params = read_params<Params>("thing", {{"count", "-2"}, {"rate", "1e-1"}, {"mode", "fast"}});
  EXPECT_EQ(params.count, -2);
  EXPECT_EQ(params.rate, 0.1);
  EXPECT_EQ(params.mode, "fast");
  const std::vector<std::pair<std::string, std::string>> want = {
      {"count", "-2"}, {"rate", "0.1"}, {"mode", "fast"}};
  EXPECT_EQ(show_params(params), want);
  EXPECT_EQ(read_params<Params>("thing", {}).count, 3);
}

TEST(Params, RefusesWithNameValueAndLimits) {
  for (const char* bad : {"11", "-3", "1.5", "", " 1", "1 ", "0x1", "+1", "99999999999999999999", "one"}) {
    EXPECT_THAT(refusal({{"count", bad}}), AllOf(HasSubstr("thing: count"), HasSubstr("-2 to 10"),
                                                 HasSubstr("'" + std::string(bad) + "'")));
  }
  for (const char* bad : {"1.01", "-0.1", "nan", "inf", "-inf", "", "0.5f", "1e999", "0,5"}) {
    EXPECT_THAT(refusal({{"rate", bad}}), AllOf(HasSubstr("thing: rate"), HasSubstr("0 to 1"),
                                                HasSubstr("'" + std::string(bad) + "'")));
  }
  for (const char* bad : {"Fast", "", "fas"}) {
    EXPECT_THAT(refusal({{"mode", bad}}), AllOf(HasSubstr("mode"), HasSubstr("slow, fast")));
  }
  EXPECT_THAT(refusal({{"cuont", "1"}}), AllOf(HasSubstr("'cuont'"), HasSubstr("count, rate, mode")));
}

struct Nothing {
  template <class Visitor>
  void visit(Visitor& /*v*/) {}
};

TEST(Params, AStructWithoutFieldsTakesNone) {
  EXPECT_TRUE(list_params<Nothing>().empty());
  EXPECT_NO_THROW(read_params<Nothing>("empty", {}));
  try {
    read_params<Nothing>("empty", {{"x", "1"}});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("none"));
  }
}

TEST(Errors, EveryCodeHasAName) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    EXPECT_STRNE(error_code_name(static_cast<ErrorCode>(code)), "unknown");
  }
  EXPECT_STREQ(error_code_name(ErrorCode::kContextExceeded), "context_length_exceeded");
}

TEST(Errors, ZerosDoNotEndTheMessage) {
  EXPECT_STREQ(Error(ErrorCode::kIo, std::string("a\0b", 3) + " is gone").what(), "a\\0b is gone");
}

}  // namespace
}  // namespace claa
