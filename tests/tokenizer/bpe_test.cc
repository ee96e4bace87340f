// Byte-pair merging against its definition, and the effects of broken merge lists.
#include "tokenizer/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "bpe_reference.h"
#include "claa/error.h"
#include "core/usize.h"

namespace claa {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<TokenRole> roles_for(const TokenizerData& data) {
  std::vector<TokenRole> roles;
  for (const int32_t type : data.token_types) {
    roles.push_back(type == static_cast<int32_t>(TokenType::kNormal)        ? TokenRole::kNormal
                    : type == static_cast<int32_t>(TokenType::kUserDefined) ? TokenRole::kUserDefined
                                                                            : TokenRole::kControl);
  }
  return roles;
}

BpeModel model_of(const TokenizerData& data, bool ignore_merges = false) {
  return BpeModel(data.tokens, roles_for(data), data.merges, {.ignore_merges = ignore_merges});
}

std::vector<int32_t> encode(const BpeModel& model, std::string_view word) {
  std::vector<int32_t> ids;
  BpeModel::Scratch scratch;
  model.encode_word(word, ids, scratch);
  return ids;
}

void expect_refused(const TokenizerData& data, const std::string& part) {
  try {
    model_of(data);
    ADD_FAILURE() << "accepted; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

// Words shorter and longer than the limit between the two algorithms, of few letters, so that merges compete.
TEST(Bpe, EqualsTheDefinitionOnRandomWords) {
  const TokenizerData data = test::small_data("gpt-2");
  const test::NaiveBpe naive(data);
  std::mt19937 random(7);
  for (const bool ignore_merges : {false, true}) {
    const BpeModel model = model_of(data, ignore_merges);
    for (int i = 0; i < 3000; ++i) {
      const std::string_view letters = i % 3 == 0 ? "ab" : i % 3 == 1 ? "abc the\n" : "inger\xC3\xA9";
      std::string word;
      const size_t size = 1 + random() % (i % 10 == 0 ? 200 : 60);
      while (word.size() < size) word.push_back(letters[random() % letters.size()]);
      ASSERT_EQ(encode(model, word), naive.encode_word(word, ignore_merges)) << word;
    }
  }
}

TEST(Bpe, EqualRanksGoLeftFirst) {
  const TokenizerData data = test::small_data("gpt-2");
  const BpeModel model = model_of(data);
  const int32_t aa = model.find(data.tokens, "aa");
  const int32_t a = model.find(data.tokens, "a");
  EXPECT_THAT(encode(model, "aaa"), ElementsAre(aa, a));
}

// A token that merging cannot reach is used only when the model ignores merges, and the same way each time.
TEST(Bpe, AWordThatIsATokenIsNotAlwaysThatToken) {
  const TokenizerData data = test::small_data("gpt-2");
  const BpeModel merging = model_of(data, false);
  const BpeModel ignoring = model_of(data, true);
  const auto id = [&](std::string_view text) { return merging.find(data.tokens, text); };
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(encode(merging, "ythe"), ElementsAre(id("y"), id("the")));
    EXPECT_THAT(encode(merging, "the"), ElementsAre(id("the")));
    EXPECT_THAT(encode(ignoring, "ythe"), ElementsAre(id("ythe")));
  }
}

TEST(Bpe, BytesWithoutATokenAreLeftOutBeforeMerging) {
  TokenizerData data = test::small_data("gpt-2");
  const size_t y = usize('y');
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    if (data.tokens[i] == "y") data.tokens[i] = "no longer a byte";
  }
  const BpeModel model = model_of(data);
  EXPECT_EQ(model.byte_token(static_cast<uint8_t>(y)), -1);
  EXPECT_THAT(encode(model, "tyhye"), ElementsAre(model.find(data.tokens, "the")));
  EXPECT_TRUE(encode(model, "yyy").empty());
}

TEST(Bpe, MergesNeverGiveControlTokens) {
  TokenizerData data = test::small_data("gpt-2");
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    if (data.tokens[i] == "the") data.token_types[i] = static_cast<int32_t>(TokenType::kControl);
  }
  const BpeModel model = model_of(data);
  const BpeModel ignoring = model_of(data, true);
  const auto id = [&](std::string_view text) { return model.find(data.tokens, text); };
  EXPECT_THAT(encode(model, "the"), ElementsAre(id("th"), id("e")));
  EXPECT_THAT(encode(ignoring, "the"), ElementsAre(id("th"), id("e")));
}

TEST(Bpe, BrokenVocabulariesAreRefused) {
  const auto with_merge = [](const std::string& merge) {
    TokenizerData data = test::small_data("gpt-2");
    data.merges[3] = merge;
    return data;
  };
  for (const char* merge : {"", " ", "ab", "a ", " a", "a b c", "a  b", "a b "}) {
    expect_refused(with_merge(merge), "merge 3 '" + std::string(merge) + "' is not two tokens");
  }
  expect_refused(with_merge("nothere b"), "needs token 'nothere'");
  expect_refused(with_merge("b nothere"), "needs token 'nothere'");
  expect_refused(with_merge("x y"), "needs token 'xy'");
  expect_refused(with_merge("a b"), "'a b' occurs twice");
  expect_refused(with_merge(std::string("\x00\xFF", 2)), "'\\x00\\xff'");
  TokenizerData data = test::small_data("gpt-2");
  data.tokens[300 - 20] = "a";
  expect_refused(data, "token 280 'a' repeats token 97");
}

TEST(Bpe, ManyThreadsGetTheSame) {
  const TokenizerData data = test::small_data("gpt-2");
  const test::NaiveBpe naive(data);
  const BpeModel model = model_of(data);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        for (const char* word : {"the", "ythe", "abab", "ababc", " the", "there", "123"}) {
          if (encode(model, word) != naive.encode_word(word, false)) ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace claa
