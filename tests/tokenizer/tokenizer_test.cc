// The interface of Tokenizer: spans, decoding, special tokens, and refusals.
#include "tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "bpe_reference.h"
#include "claa/error.h"

namespace claa {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class SmallTokenizer : public testing::Test {
 protected:
  int32_t id(std::string_view text) const { return tokenizer_.find(text).value(); }
  std::vector<int32_t> encode(std::initializer_list<Span> spans) const {
    return tokenizer_.encode(std::span<const Span>(spans.begin(), spans.size()));
  }

  Tokenizer tokenizer_{test::small_data("gpt-2")};
};

TEST_F(SmallTokenizer, PlainTextNeverGivesControlTokens) {
  const auto ids = tokenizer_.encode("a<|end|>b");
  EXPECT_THAT(ids, Not(Contains(id("<|end|>"))));
  EXPECT_EQ(tokenizer_.decode(ids), "a<|end|>b");
  EXPECT_EQ(encode({{"a<|end|>b", false}}), ids);
  EXPECT_THAT(encode({{"a<|end|>b", true}}), ElementsAre(id("a"), id("<|end|>"), id("b")));
}

TEST_F(SmallTokenizer, ControlTokensMustLieInSpecialText) {
  const int32_t end = id("<|end|>");
  EXPECT_THAT(encode({{"<|e", false}, {"nd|>", true}}), Not(Contains(end)));
  EXPECT_THAT(encode({{"<|e", true}, {"nd|>", false}}), Not(Contains(end)));
  EXPECT_THAT(encode({{"<|en", true}, {"d", false}, {"|>", true}}), Not(Contains(end)));
  EXPECT_THAT(encode({{"<|e", true}, {"nd|>", true}}), ElementsAre(end));
  EXPECT_THAT(encode({{"<|e", true}, {"", false}, {"nd|>", true}}), ElementsAre(end));
  EXPECT_THAT(encode({{"x<|end|>", false}, {"<|end|>", true}}).back(), end);
}

// The longest control token that fits into the special text: a user's ">" must not make another one of it.
TEST_F(SmallTokenizer, LongestWins) {
  EXPECT_THAT(encode({{"<|end|>>", true}}), ElementsAre(id("<|end|>>")));
  EXPECT_THAT(encode({{"<|end|>", true}, {">", false}}), ElementsAre(id("<|end|>"), id(">")));
  EXPECT_THAT(encode({{"<|end|><|end|>>", true}}), ElementsAre(id("<|end|>"), id("<|end|>>")));
}

TEST_F(SmallTokenizer, UserDefinedTokensAreFoundEverywhere) {
  const int32_t tool = id("<tool>");
  EXPECT_THAT(tokenizer_.encode("a<tool>b"), ElementsAre(id("a"), tool, id("b")));
  EXPECT_THAT(encode({{"<to", true}, {"ol>", false}}), ElementsAre(tool));
  EXPECT_FALSE(tokenizer_.is_special(tool));
  EXPECT_EQ(tokenizer_.decode(std::vector{tool}), "<tool>");
}

// Words and merges reach across the borders of spans, as if the text had never been cut.
TEST_F(SmallTokenizer, CutsDoNotShowInIds) {
  const std::string text = "ab  the ababc1230 <tool>\r\n\n it's \xC3\xA9 e\xCC\x81!!\n\t\tinging  ";
  const auto whole = tokenizer_.encode(text);
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const std::string_view view = text;
    EXPECT_EQ(encode({{view.substr(0, cut), true}, {view.substr(cut), false}}), whole) << cut;
    EXPECT_EQ(encode({{view.substr(0, cut), false}, {view.substr(cut), true}}), whole) << cut;
  }
}

TEST_F(SmallTokenizer, DecodingGivesTheBytesBack) {
  std::string all;
  for (int b = 1; b < 0x80; ++b) all.push_back(static_cast<char>(b));
  all += std::string("\0\0", 2) + "h\xC3\xA9llo \xE6\xBC\xA2\xF0\x9F\x99\x82";
  EXPECT_EQ(tokenizer_.decode(tokenizer_.encode(all)), all);
  EXPECT_EQ(tokenizer_.decode(tokenizer_.encode("a\xFF")), "a\xEF\xBF\xBD");
  EXPECT_EQ(tokenizer_.token_bytes(id("Ġthe")), " the");
  EXPECT_EQ(tokenizer_.token_bytes(id("<|end|>")), "<|end|>");
  const std::vector ids = {id("a"), id("<|end|>"), id("b")};
  EXPECT_EQ(tokenizer_.decode(ids), "ab");
  EXPECT_EQ(tokenizer_.decode(ids, true), "a<|end|>b");
  EXPECT_TRUE(tokenizer_.encode("").empty());
  EXPECT_TRUE(encode({}).empty());
  EXPECT_EQ(tokenizer_.decode({}), "");
}

TEST_F(SmallTokenizer, IdsOutsideTheVocabularyAreRefused) {
  for (const int32_t bad : {-1, tokenizer_.vocab_size(), INT32_MAX, INT32_MIN}) {
    const std::vector ids = {id("a"), bad};
    EXPECT_THROW(tokenizer_.decode(ids), Error);
    EXPECT_THROW(tokenizer_.token_bytes(bad), Error);
    EXPECT_THROW(tokenizer_.is_special(bad), Error);
    EXPECT_THROW(tokenizer_.is_end_of_generation(bad), Error);
  }
  EXPECT_EQ(tokenizer_.find("not a token"), std::nullopt);
}

TEST_F(SmallTokenizer, MoveKeepsTheTokens) {
  Tokenizer moved = std::move(tokenizer_);
  EXPECT_EQ(moved.decode(moved.encode("the <tool>")), "the <tool>");
}

TEST(Tokenizer, EndsOfGeneration) {
  TokenizerData data = test::small_data("gpt-2");
  const auto add = [&](const char* text, TokenType type) {
    data.tokens.push_back(text);
    data.token_types.push_back(static_cast<int32_t>(type));
    return static_cast<int32_t>(data.tokens.size()) - 1;
  };
  const int32_t named = add("<|im_end|>", TokenType::kControl);
  const int32_t text_only = add("<|eot_id|>", TokenType::kUserDefined);
  data.eot = add("<stop>", TokenType::kControl);
  data.eom = add("<more>", TokenType::kControl);
  const Tokenizer tokenizer(data);
  for (const int32_t id : {named, data.eos, data.eot, data.eom})
    EXPECT_TRUE(tokenizer.is_end_of_generation(id));
  for (const int32_t id : {text_only, data.bos, 0}) EXPECT_FALSE(tokenizer.is_end_of_generation(id));
}

TEST(Tokenizer, WithoutTypesTheNamedIdsAreControl) {
  TokenizerData data = test::small_data("gpt-2");
  data.token_types.clear();
  const Tokenizer tokenizer(data);
  EXPECT_TRUE(tokenizer.is_special(data.eos));
  EXPECT_TRUE(tokenizer.is_special(data.bos));
  EXPECT_FALSE(tokenizer.is_special(0));
  const Span span{"<|end|>", true};
  EXPECT_THAT(tokenizer.encode(std::span(&span, 1)), ElementsAre(data.eos));
}

TEST(Tokenizer, MissingBytesAreNamedAndLeftOut) {
  TokenizerData data = test::small_data("gpt-2");
  EXPECT_TRUE(Tokenizer(data).missing_bytes().empty());
  data.tokens['Z'] = "ZZ";
  const Tokenizer tokenizer(data);
  EXPECT_THAT(tokenizer.missing_bytes(), ElementsAre('Z'));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("aZb")), "ab");
}

TEST(Tokenizer, OnlyQwen2Normalises) {
  const std::string decomposed = "cafe\u0301";
  const Tokenizer qwen(test::small_data("qwen2"));
  EXPECT_EQ(qwen.decode(qwen.encode(decomposed)), "café");
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe"}) {
    const Tokenizer tokenizer(test::small_data(pre));
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(decomposed)), decomposed);
  }
}

// Random spans of pieces that tend to form added tokens and words across the cuts.
TEST(Tokenizer, EqualsTheNaiveOneOnRandomSpans) {
  const std::string_view pieces[] = {"<|",       "end",      "|>",   ">",   "<|end|>", "<|start|>", "<tool>",
                                     "<to",      "ol>",      "a",    "b",   "ab",      " the",      " ",
                                     "\n",       "12",       "3",    "'s",  "\xC3",    "\xA9",      "e",
                                     "\xCC\x81", "\xCC\xA3", "\xFF", "ythe"};
  std::mt19937 random(11);
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2"}) {
    const TokenizerData data = test::small_data(pre);
    const Tokenizer tokenizer(data);
    const test::NaiveTokenizer naive(data);
    for (int i = 0; i < 1500; ++i) {
      std::vector<std::string> texts(random() % 5);
      for (auto& text : texts) {
        for (size_t n = random() % 6; n > 0; --n) text += pieces[random() % std::size(pieces)];
      }
      std::vector<Span> spans;
      for (const auto& text : texts) spans.push_back({text, random() % 2 == 0});
      ASSERT_EQ(tokenizer.encode(spans), naive.encode(spans)) << pre << ' ' << i;
    }
  }
}

template <typename Change>
void expect_refused(ErrorCode code, const std::string& part, Change change) {
  TokenizerData data = test::small_data("gpt-2");
  change(data);
  try {
    const Tokenizer tokenizer(data);
    ADD_FAILURE() << "accepted; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(Tokenizer, ContradictingDataAreRefused) {
  using Data = TokenizerData;
  expect_refused(ErrorCode::kUnsupported, "model is 'bert'", [](Data& d) { d.model = "bert"; });
  expect_refused(ErrorCode::kUnsupported, "'viking' is not known; known are gpt-2,",
                 [](Data& d) { d.pre = "viking"; });
  expect_refused(ErrorCode::kCorruptFile, "vocabulary of 0 tokens", [](Data& d) { d.tokens.clear(); });
  expect_refused(ErrorCode::kCorruptFile, "token types for", [](Data& d) { d.token_types.pop_back(); });
  expect_refused(ErrorCode::kCorruptFile, "token 5 has type 7", [](Data& d) { d.token_types[5] = 7; });
  expect_refused(ErrorCode::kCorruptFile, "token 5 has type -1", [](Data& d) { d.token_types[5] = -1; });
  expect_refused(ErrorCode::kCorruptFile, "the eos token is 100000", [](Data& d) { d.eos = 100000; });
  expect_refused(ErrorCode::kCorruptFile, "the bos token is -2", [](Data& d) { d.bos = -2; });
  expect_refused(ErrorCode::kCorruptFile, "repeats token", [](Data& d) { d.tokens[7] = "a"; });
  expect_refused(ErrorCode::kCorruptFile, "merge 0 'ab'", [](Data& d) { d.merges[0] = "ab"; });
}

TEST(Tokenizer, ManyThreadsGetTheSame) {
  const Tokenizer tokenizer(test::small_data("qwen2"));
  const std::string text = "ab the ababc 123 <tool> it's e\u0301 漢字 \xFF ythe there inging";
  const auto expected = Tokenizer(test::small_data("qwen2")).encode(text);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        if (tokenizer.encode(text) != expected) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace claa
