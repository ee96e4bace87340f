// Documents: what is converted, what is taken, and what is refused by its name.
#include "text/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "claa/error.h"

namespace claa {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using std::string_view_literals::operator""sv;

DocumentText decoded(std::string_view bytes) {
  return decode_document(std::string(bytes), "report");
}

std::string refusal(std::string_view bytes) {
  try {
    decoded(bytes);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "accepted";
}

TEST(Document, TextIsTakenAsItIs) {
  for (const std::string_view text : {""sv, "plain"sv, "caf\xC3\xA9\r\n"sv, "GIF89a is a format"sv,
                                      "PK\x09 and BZh9"sv, "MM and II*"sv, "one \x1B[31mred\x1B[0m word"sv}) {
    const DocumentText document = decoded(text);
    EXPECT_EQ(document.text, text);
    EXPECT_EQ(document.note, "");
    EXPECT_EQ(document.ill_formed, 0u);
  }
}

TEST(Document, ByteOrderMarks) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";  // 1 to 4 bytes in UTF-8
  EXPECT_EQ(decoded("\xEF\xBB\xBF" + text).text, text);
  EXPECT_EQ(decoded("\xFF\xFE"
                    "a\0\xE9\0\xAC\x20\x3D\xD8\x00\xDE"sv)
                .text,
            text);
  EXPECT_EQ(decoded("\xFE\xFF\0a\0\xE9\x20\xAC\xD8\x3D\xDE\x00"sv).text, text);
  EXPECT_EQ(decoded("\xFF\xFE\0\0"
                    "a\0\0\0\xE9\0\0\0\xAC\x20\0\0\x00\xF6\x01\0"sv)
                .text,
            text);
  EXPECT_EQ(decoded("\0\0\xFE\xFF\0\0\0a\0\0\0\xE9\0\0\x20\xAC\0\x01\xF6\x00"sv).text, text);
  EXPECT_THAT(decoded("\xFF\xFE"
                      "a\0"sv)
                  .note,
              AllOf(HasSubstr("'report'"), HasSubstr("UTF-16")));
  EXPECT_EQ(decoded("\xFF\xFE"sv).text, "");
  EXPECT_EQ(without_byte_order_mark("\xEF\xBB\xBF{}"), "{}");
  EXPECT_EQ(without_byte_order_mark("{}"), "{}");
}

TEST(Document, WhatIsNoCharacterIsReplaced) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(decoded("\xFE\xFF\xD8\x3D\0a"sv).text, bad + "a");       // half a pair
  EXPECT_EQ(decoded("\xFE\xFF\xDE\x00\xD8\x3D"sv).text, bad + bad);  // in the wrong order
  EXPECT_EQ(decoded("\xFE\xFF\0a\0"sv).text, "a" + bad);             // half a unit
  EXPECT_EQ(decoded("\0\0\xFE\xFF\0\x11\0\0\xFF\xFF\xFF\xFF"sv).text, bad + bad);
}

TEST(Document, OtherFormatsAreRefusedByName) {
  using Case = std::pair<std::string_view, std::string_view>;
  const Case cases[] = {{"%PDF-1.4\n", "a PDF document"},
                        {"\x1F\x8B\x08\0"sv, "a gzip archive"},
                        {"PK\x03\x04\x14\0"sv, "ZIP archive"},
                        {"\x89PNG\r\n\x1A\n", "a PNG picture"},
                        {"\xFF\xD8\xFF\xE0", "a JPEG picture"},
                        {"GIF89a\x01\0"sv, "a GIF picture"},
                        {"\xFD"
                         "7zXZ\0"sv,
                         "an xz archive"},
                        {"GGUF\x03\0\0\0"sv, "a GGUF model"},
                        {"\x7F"
                         "ELF\x02\x01"sv,
                         "a program"},
                        {"RIFF\x24\0\0\0WEBP"sv, "a picture"},
                        {"SQLite format 3\0"sv, "SQLite database"}};
  for (const auto& [bytes, what] : cases)
    EXPECT_THAT(refusal(bytes), AllOf(HasSubstr("'report'"), HasSubstr(std::string(what))));
}

TEST(Document, BytesThatAreMostlyNoTextAreRefused) {
  EXPECT_THAT(refusal("h\0e\0l\0l\0o\0"sv), HasSubstr("UTF-16 without a byte order mark"));
  EXPECT_THAT(refusal("\xF0\xD2\xC9\xD7\xC5\xD4"), HasSubstr("not UTF-8 text"));
  EXPECT_THAT(refusal("\x01\x02\x03\x04 ab"), HasSubstr("not UTF-8 text"));
  EXPECT_THAT(refusal("\xFF\xFE\0\0a\0\0\0\0\0\0\0\0\0\0\0"sv), HasSubstr("NUL"));
}

TEST(Document, AFewIllFormedPlacesAreCounted) {
  const DocumentText document = decoded(
      "caf\xE9 and t\xEA"
      "te");
  EXPECT_EQ(document.ill_formed, 2u);
  EXPECT_EQ(document.text,
            "caf\xE9 and t\xEA"
            "te");
  EXPECT_THAT(document.note, AllOf(HasSubstr("2 places"), HasSubstr("at byte 3")));
  const std::string path = testing::TempDir() + "/claa_document_test";
  std::ofstream(path, std::ios::binary) << document.text;
  EXPECT_THROW(read_document(path), Error);
  std::ofstream(path, std::ios::binary) << "\xEF\xBB\xBFtext";
  EXPECT_EQ(read_document(path), "text");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace claa
