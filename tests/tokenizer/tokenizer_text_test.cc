// UTF-8 repair, streams of fragments, the byte-level alphabet, and normalisation.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <set>

#include "text/normalize.h"
#include "text/utf8.h"
#include "tokenizer/byte_level.h"

namespace claa {
namespace {

const std::string kBad{kReplacementCharacter};

// Expected values from Python's bytes.decode("utf-8", "replace").
TEST(Utf8, IllFormedSequencesAreReplacedAsPythonDoes) {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"plain", "plain"},
      {"caf\xC3\xA9", "caf\xC3\xA9"},
      {"\x80", kBad},
      {"a\xFF"
       "b",
       "a" + kBad + "b"},
      {"\xC3", kBad},
      {"\xC3(", kBad + "("},
      {"\xC0\x80", kBad + kBad},
      {"\xE2\x82", kBad},
      {"\xE2\x82(", kBad + "("},
      {"\xE2(\x82", kBad + "(" + kBad},
      {"\xF0\x9F\x98", kBad},
      {"\xF0\x9F\x98"
       "a",
       kBad + "a"},
      {"\xED\xA0\x80", kBad + kBad + kBad},
      {"\xED\x9F\xBF", "\xED\x9F\xBF"},
      {"\xF4\x90\x80\x80", kBad + kBad + kBad + kBad},
      {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
      {"\xE0\x80\x80", kBad + kBad + kBad},
      {"\xF0\x80\x80\x80", kBad + kBad + kBad + kBad},
      {"\xC3\xC3\xA9", kBad + "\xC3\xA9"},
  };
  for (const auto& [bytes, expected] : cases) {
    EXPECT_EQ(replace_invalid_utf8(bytes), expected);
    EXPECT_EQ(valid_utf8_prefix(bytes) == bytes.size(), bytes == expected);
  }
}

TEST(Utf8Stream, KeepsBackOnlyWhatMayStillBecomeACharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xF0"), "a");
  EXPECT_EQ(stream.push("\x9F\x99"), "");
  EXPECT_EQ(stream.push("\x82"
                        "b"),
            "\xF0\x9F\x99\x82"
            "b");
  EXPECT_EQ(stream.push("\xE2\x82"), "");
  EXPECT_EQ(stream.push("x"), kBad + "x");
  EXPECT_EQ(stream.push("\xE2\x82"), "");
  EXPECT_EQ(stream.flush(), kBad);
  EXPECT_EQ(stream.flush(), "");
  EXPECT_EQ(stream.push("ok"), "ok");
}

TEST(Utf8Stream, AnyCutGivesTheWholeText) {
  const std::string bytes =
      "a\xC3\xA9 \xE6\xBC\xA2\xF0\x9F\x99\x82 \xFF\xE2\x82 \xED\xA0\x80\xC3\xA9 \xF0\x9F";
  std::mt19937 random(5);
  for (int i = 0; i < 500; ++i) {
    Utf8Stream stream;
    std::string out;
    for (size_t pos = 0; pos < bytes.size();) {
      const size_t size = 1 + random() % 4;
      out += stream.push(std::string_view(bytes).substr(pos, size));
      ASSERT_EQ(valid_utf8_prefix(out), out.size());
      pos += size;
    }
    out += stream.flush();
    ASSERT_EQ(out, replace_invalid_utf8(bytes));
  }
}

TEST(ByteLevel, AlphabetIsOneToOne) {
  std::set<std::string> seen;
  for (int b = 0; b < 256; ++b) {
    const std::string character = byte_level_character(static_cast<uint8_t>(b));
    EXPECT_TRUE(seen.insert(character).second);
    EXPECT_EQ(byte_level_decode(character), std::string(1, static_cast<char>(b)));
  }
  EXPECT_EQ(byte_level_character(' '), "Ġ");
  EXPECT_EQ(byte_level_character('\n'), "Ċ");
  EXPECT_EQ(byte_level_character('A'), "A");
  EXPECT_EQ(byte_level_decode("Ġthe"), " the");
  EXPECT_EQ(byte_level_decode(""), "");
  for (const char* text : {" ", "a b", "\n", "漢", "ń", "\xC4", "\xFF", "\xC4(", "\xC2\xAD"}) {
    EXPECT_EQ(byte_level_decode(text), std::nullopt) << text;
  }
}

TEST(Normalize, ComposesAndOrders) {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"plain text", "plain text"},
      {"cafe\u0301!", "café!"},
      {"\u0301", "\u0301"},
      {"a\u0301\u0323", "ạ\u0301"},            // the dot below comes first
      {"q\u0307\u0323 q", "q\u0323\u0307 q"},  // no composition, but an order
      {"\u212B \u2126", "Å Ω"},                // singletons
      {"\u0958", "क\u093C"},                   // excluded from composition
      {"\u1100\u1161\u11A8", "각"},
      {"é", "é"},
      {"한글 e\u0301 漢字 o\u0308", "한글 é 漢字 ö"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(normalize_nfc(text), expected);
    EXPECT_EQ(normalize_nfc(expected), expected);
    EXPECT_TRUE(may_need_nfc(text) || text == expected);
  }
}

// utf8proc's own ordering would need some 10^11 steps for this.
TEST(Normalize, LongRunsOfMarksAreNotQuadratic) {
  std::string text = "a";
  for (int i = 0; i < 400000; ++i) text += "\u0301\u0323";
  const auto start = std::chrono::steady_clock::now();
  const std::string normal = normalize_nfc(text);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_EQ(normal.substr(0, 7), "ạ\u0323\u0323");
  EXPECT_EQ(normal.substr(normal.size() - 2), "\u0301");
}

}  // namespace
}  // namespace claa
