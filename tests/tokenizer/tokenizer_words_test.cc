// Pre-tokenisation: words of all patterns, with and without JIT.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "text/utf8.h"
#include "tokenizer/pretokenizer.h"

namespace claa {
namespace {

using testing::ElementsAre;

std::vector<std::string> words(PreKind kind, std::string_view text) {
  std::vector<std::string> out;
  for (const auto word : PreTokenizer(kind).split(text)) out.emplace_back(word);
  return out;
}

constexpr PreKind kAllKinds[] = {PreKind::kGpt2,      PreKind::kSmolLm, PreKind::kLlama3, PreKind::kQwen2,
                                 PreKind::kQwen35,    PreKind::kTekken, PreKind::kGpt4o,  PreKind::kSeedCoder,
                                 PreKind::kDeepSeek3, PreKind::kFalcon};

TEST(Words, NamesAndAliases) {
  EXPECT_EQ(pre_kind_from_name("smollm"), PreKind::kSmolLm);
  EXPECT_EQ(pre_kind_from_name("gpt-2"), PreKind::kGpt2);
  EXPECT_EQ(pre_kind_from_name("default"), PreKind::kGpt2);
  for (const char* name : {"llama-bpe", "llama3", "llama-v3"})
    EXPECT_EQ(pre_kind_from_name(name), PreKind::kLlama3);
  EXPECT_EQ(pre_kind_from_name("qwen2"), PreKind::kQwen2);
  for (const char* name : {"dbrx", "smaug-bpe"}) EXPECT_EQ(pre_kind_from_name(name), PreKind::kDbrx);
  EXPECT_EQ(pre_kind_from_name("qwen35"), PreKind::kQwen35);
  EXPECT_EQ(pre_kind_from_name("tekken"), PreKind::kTekken);
  EXPECT_EQ(pre_kind_from_name("gpt-4o"), PreKind::kGpt4o);
  EXPECT_EQ(pre_kind_from_name("seed-coder"), PreKind::kSeedCoder);
  EXPECT_EQ(pre_kind_from_name("deepseek-v3"), PreKind::kDeepSeek3);
  EXPECT_EQ(pre_kind_from_name("falcon"), PreKind::kFalcon);
  EXPECT_EQ(pre_kind_from_name("exaone4"), PreKind::kGpt2);
  EXPECT_EQ(pre_kind_from_name("glm4"), PreKind::kLlama3);
  EXPECT_EQ(pre_kind_from_name("QWEN2"), std::nullopt);
  EXPECT_EQ(pre_kind_from_name(""), std::nullopt);
}

TEST(Words, DigitsAreWhatTellsThePatternsApart) {
  const char* text = "it's  12345 x";
  EXPECT_THAT(words(PreKind::kGpt2, text), ElementsAre("it", "'s", " ", " 12345", " x"));
  EXPECT_THAT(words(PreKind::kSmolLm, text), ElementsAre("it", "'s", "  ", "1", "2", "3", "4", "5", " x"));
  EXPECT_THAT(words(PreKind::kLlama3, text), ElementsAre("it", "'s", " ", " ", "123", "45", " x"));
  EXPECT_THAT(words(PreKind::kQwen2, text), ElementsAre("it", "'s", " ", " ", "1", "2", "3", "4", "5", " x"));
}

TEST(Words, CapitalsBeginAWordOfTekkenAndGpt4o) {
  const char* text = "parseHTMLPage's 1234";
  EXPECT_THAT(words(PreKind::kTekken, text), ElementsAre("parse", "HTMLPage", "'s", " ", "1", "2", "3", "4"));
  EXPECT_THAT(words(PreKind::kGpt4o, text), ElementsAre("parse", "HTMLPage's", " ", "123", "4"));
  EXPECT_THAT(words(PreKind::kQwen35, "a\u0301b c"), ElementsAre("a\u0301b", " c")) << "marks are letters";
  EXPECT_THAT(words(PreKind::kQwen2, "a\u0301b c"), ElementsAre("a", "\u0301b", " c"));
}

// Each cut sees the pieces of the one before alone.
TEST(Words, SeveralCutsInTurn) {
  EXPECT_THAT(words(PreKind::kDeepSeek3, "x 1234漢字カナ y!z\n\n"),
              ElementsAre("x", " ", "123", "4", "漢字カナ", " y", "!z", "\n\n"));
  EXPECT_THAT(words(PreKind::kDeepSeek3, " \x01"), ElementsAre(" ", "\x01")) << "what no pattern finds";
  EXPECT_THAT(words(PreKind::kFalcon, "it's 12345.+x"),
              ElementsAre("it", "'", "s", " ", "123", "45", ".+", "x"));
  EXPECT_THAT(words(PreKind::kFalcon, "x\u00b2"), ElementsAre("x", "\xc2", "\xb2"))
      << "a byte that stands for a number";
  EXPECT_THAT(words(PreKind::kSeedCoder, "a!\n 1"), ElementsAre("a", "!", "\n", " ", "1"));
}

TEST(Words, ContractionsInCapitals) {
  EXPECT_THAT(words(PreKind::kGpt2, "IT'S"), ElementsAre("IT", "'", "S"));
  EXPECT_THAT(words(PreKind::kLlama3, "IT'S"), ElementsAre("IT", "'S"));
}

TEST(Words, MongolianVowelSeparatorIsNotASpace) {
  for (const PreKind kind : kAllKinds) {
    const auto parts = words(kind, "\xE1\xA0\x8E!");  // U+180E with other symbols is one word of symbols
    if (kind == PreKind::kDeepSeek3 || kind == PreKind::kFalcon) {
      EXPECT_THAT(parts, ElementsAre("\xE1\xA0\x8E", "!")) << "symbols alone are no punctuation";
    } else {
      EXPECT_THAT(parts, ElementsAre("\xE1\xA0\x8E!"));
    }
  }
}

TEST(Words, JitAndInterpreterAgreeAndLoseNothing) {
  const std::string_view pieces[] = {"a",
                                     "Z",
                                     " ",
                                     "  ",
                                     "\n",
                                     "\r\n",
                                     "\t",
                                     "1",
                                     "23",
                                     "'s",
                                     "'LL",
                                     "!",
                                     "?!",
                                     "\xC3\xA9",
                                     "\xCC\x81",
                                     "\xE6\xBC\xA2",
                                     "\xF0\x9F\x99\x82",
                                     "\xC2\xBD",
                                     "\xE2\x80\xA8",
                                     "\xC2\x85",
                                     "\xC5\xBF",
                                     "'",
                                     std::string_view("\0", 1)};
  std::mt19937 random(3);
  for (const PreKind kind : kAllKinds) {
    const PreTokenizer jit(kind, true);
    const PreTokenizer interpreter(kind, false);
    EXPECT_FALSE(interpreter.has_jit());
    for (int i = 0; i < 2000; ++i) {
      std::string text;
      for (size_t n = random() % 20; n > 0; --n) text += pieces[random() % std::size(pieces)];
      const auto parts = jit.split(text);
      ASSERT_EQ(parts, interpreter.split(text)) << text;
      std::string joined;
      for (const auto part : parts) joined += part;
      ASSERT_EQ(joined, text);
    }
  }
}

TEST(Words, LongRunsDoNotExhaustTheInterpreter) {
  for (const PreKind kind : kAllKinds) {
    for (const std::string part : {"a", " ", "\n", " \n", "\r", "1", "!", "\xE6\xBC\xA2", "' "}) {
      std::string text;
      while (text.size() < (size_t{1} << 20)) text += part;
      size_t total = 0;
      for (const auto word : PreTokenizer(kind, false).split(text)) total += word.size();
      EXPECT_EQ(total, text.size());
    }
  }
}

}  // namespace
}  // namespace claa
