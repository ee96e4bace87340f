// SentencePiece's BPE: ids against that library (tools/make_spm_goldens.py), control tokens, refusals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <limits>
#include <sstream>

#include "claa/error.h"
#include "core/usize.h"
#include "paths.h"
#include "tokenizer/tokenizer.h"

namespace claa {
namespace {

namespace json = boost::json;
using testing::HasSubstr;

json::object golden() {
  std::ifstream in(test_data("tokenizer/spm.json"));
  std::ostringstream text;
  text << in.rdbuf();
  return json::parse(text.str()).as_object();
}

class Spm : public testing::Test {
 protected:
  TokenizerData data() const {
    TokenizerData data;
    data.model = "llama";
    data.tokens = json::value_to<std::vector<std::string>>(golden_.at("tokens"));
    data.token_types = json::value_to<std::vector<int32_t>>(golden_.at("types"));
    data.scores = json::value_to<std::vector<float>>(golden_.at("scores"));
    data.unknown = 0;
    data.bos = 1;
    data.eos = 2;
    return data;
  }
  std::string refusal(const TokenizerData& bad) const {
    try {
      const Tokenizer tokenizer(bad);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
      return error.what();
    }
    return "accepted";
  }
  const json::object golden_ = golden();
};

TEST_F(Spm, IdsAreThoseOfTheLibrary) {
  const Tokenizer tokenizer(data());
  const json::array& texts = golden_.at("texts").as_array();
  ASSERT_GT(texts.size(), 300u);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text(texts[i].as_string());
    const auto want = json::value_to<std::vector<int32_t>>(golden_.at("ids").as_array()[i]);
    EXPECT_EQ(tokenizer.encode(text), want) << text;
    EXPECT_EQ(tokenizer.encode(text), want) << text << ", with words that are known";
  }
}

TEST_F(Spm, ASpaceBeforeTheTextIfTheFileAsksForIt) {
  TokenizerData prefixed = data();
  prefixed.add_space_prefix = true;
  const Tokenizer tokenizer(std::move(prefixed));
  const json::array& texts = golden_.at("texts").as_array();
  int compared = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const json::value& want = golden_.at("prefixed_ids").as_array()[i];
    if (want.is_null()) continue;
    const std::string text(texts[i].as_string());
    EXPECT_EQ(tokenizer.encode(text), json::value_to<std::vector<int32_t>>(want)) << text;
    ++compared;
  }
  EXPECT_GT(compared, 150);
  const Span spans[] = {{"<s>", true}, {"Anne", false}};
  const std::vector<int32_t> ids = tokenizer.encode(spans);
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(tokenizer.decode(ids), " Anne") << "behind a control token too";
}

TEST_F(Spm, DecodingGivesTheTextBack) {
  const Tokenizer tokenizer(data());
  for (const json::value& value : golden_.at("texts").as_array()) {
    std::string text(value.as_string());
    const std::string decoded = tokenizer.decode(tokenizer.encode(text));
    // U+2581 counts as a space.
    for (size_t at = text.find("\xe2\x96\x81"); at != std::string::npos; at = text.find("\xe2\x96\x81"))
      text.replace(at, 3, " ");
    EXPECT_EQ(decoded, text);
  }
}

TEST_F(Spm, TextNeverBecomesAControlToken) {
  const Tokenizer tokenizer(data());
  for (const int32_t id : tokenizer.encode("<s></s><unk>")) EXPECT_FALSE(tokenizer.is_special(id)) << id;
  const Span special[] = {{"<s></s>", true}};
  EXPECT_EQ(tokenizer.encode(special), (std::vector<int32_t>{1, 2}));
}

// A word of many characters takes time that grows little faster than its length.
TEST_F(Spm, ALongWordIsEncoded) {
  const Tokenizer tokenizer(data());
  std::string word;
  for (int i = 0; i < 300'000; ++i) word += static_cast<char>('a' + i % 7);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(word)), word);
}

TEST_F(Spm, RefusesVocabulariesThatContradictThemselves) {
  TokenizerData bad = data();
  bad.source = "m.gguf";
  bad.scores.pop_back();
  EXPECT_THAT(refusal(bad), HasSubstr("m.gguf: 901 scores for 902 tokens"));
  bad = data();
  bad.scores[400] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refusal(bad), HasSubstr("score of token 400"));
  bad = data();
  bad.tokens[500] = bad.tokens[400];
  EXPECT_THAT(refusal(bad), HasSubstr("token 500 repeats token 400"));
  bad = data();
  bad.token_types[500] = 6;
  EXPECT_THAT(refusal(bad), HasSubstr("token 500 has type 6 (byte)"));
}

}  // namespace
}  // namespace claa
