// Reading the tokenizer of a model file, and files with false values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "bpe_reference.h"
#include "claa/error.h"
#include "gguf/writer.h"

namespace claa {
namespace {

using testing::HasSubstr;
using Values = std::map<std::string, gguf::Writer::Value>;

Values good_values() {
  const TokenizerData data = test::small_data("llama-bpe");
  return {{"tokenizer.ggml.model", data.model},
          {"tokenizer.ggml.pre", data.pre},
          {"tokenizer.ggml.tokens", data.tokens},
          {"tokenizer.ggml.token_type", data.token_types},
          {"tokenizer.ggml.merges", data.merges},
          {"tokenizer.ggml.bos_token_id", static_cast<uint32_t>(data.bos)},
          {"tokenizer.ggml.eos_token_id", static_cast<uint32_t>(data.eos)},
          {"tokenizer.chat_template", std::string("{{ messages }}")}};
}

TokenizerData read(const Values& values) {
  gguf::Writer writer;
  for (const auto& [key, value] : values) writer.add(key, value);
  const auto bytes = writer.to_bytes();
  return read_tokenizer_data(gguf::File::parse(bytes, "test.gguf"));
}

void expect_refused(ErrorCode code, const std::string& part, const std::function<void(Values&)>& change) {
  Values values = good_values();
  change(values);
  try {
    const Tokenizer tokenizer(read(values));
    ADD_FAILURE() << "accepted; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(TokenizerData, ReadsWhatTheFileSays) {
  const TokenizerData expected = test::small_data("llama-bpe");
  const TokenizerData data = read(good_values());
  EXPECT_EQ(data.model, "gpt2");
  EXPECT_EQ(data.pre, "llama-bpe");
  EXPECT_EQ(data.tokens, expected.tokens);
  EXPECT_EQ(data.token_types, expected.token_types);
  EXPECT_EQ(data.merges, expected.merges);
  EXPECT_EQ(data.bos, expected.bos);
  EXPECT_EQ(data.eos, expected.eos);
  EXPECT_EQ(data.eot, -1);
  EXPECT_EQ(data.chat_template, "{{ messages }}");
}

TEST(TokenizerData, OptionalKeysAndDefaults) {
  Values values = good_values();
  EXPECT_TRUE(read(values).add_bos);  // Llama 3: yes unless the file says no
  values["tokenizer.ggml.add_bos_token"] = false;
  values["tokenizer.ggml.add_eos_token"] = true;
  values["tokenizer.ggml.eot_token_id"] = uint32_t{3};
  values["tokenizer.ggml.padding_token_id"] = uint32_t{0xFFFFFFFF};  // "none"
  TokenizerData data = read(values);
  EXPECT_FALSE(data.add_bos);
  EXPECT_TRUE(data.add_eos);
  EXPECT_EQ(data.eot, 3);
  EXPECT_EQ(data.padding, -1);
  values = good_values();
  values.erase("tokenizer.ggml.pre");
  values.erase("tokenizer.ggml.token_type");
  values.erase("tokenizer.chat_template");
  data = read(values);
  EXPECT_EQ(data.pre, "default");
  EXPECT_FALSE(data.add_bos);
  EXPECT_TRUE(data.token_types.empty());
  EXPECT_EQ(data.chat_template, "");
}

// Nothing reads the padding and the unknown token, so that one outside the vocabulary is as good as none.
TEST(TokenizerData, UnusedIdsMayLieOutside) {
  for (const char* key : {"tokenizer.ggml.unknown_token_id", "tokenizer.ggml.padding_token_id"}) {
    Values values = good_values();
    values[key] = uint32_t{5000};
    const TokenizerData data = read(values);
    EXPECT_EQ(data.unknown, -1) << key;
    EXPECT_EQ(data.padding, -1) << key;
    EXPECT_NO_THROW(Tokenizer{data});
  }
}

// A vocabulary's own mistakes show when the tokenizer is made of it; they name the file all the same.
TEST(TokenizerData, MistakesOfTheVocabularyNameTheFile) {
  Values values = good_values();
  auto tokens = std::get<std::vector<std::string>>(values.at("tokenizer.ggml.tokens"));
  tokens[1] = tokens[0];
  values["tokenizer.ggml.tokens"] = tokens;
  try {
    Tokenizer{read(values)};
    FAIL() << "a repeated token was taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("test.gguf: token 1 "));
  }
  values = good_values();
  values["tokenizer.ggml.merges"] = std::vector<std::string>{"no such"};
  try {
    Tokenizer{read(values)};
    FAIL() << "a merge of no tokens was taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("test.gguf: merge 0 "));
  }
}

TEST(TokenizerData, FilesThatLieAreRefused) {
  const auto corrupt = ErrorCode::kCorruptFile;
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"}) {
    expect_refused(corrupt, std::string("test.gguf: ") + key + " is missing",
                   [&](Values& v) { v.erase(key); });
  }
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
                          "tokenizer.ggml.merges", "tokenizer.ggml.token_type", "tokenizer.chat_template"}) {
    expect_refused(corrupt, key, [&](Values& v) { v[key] = uint32_t{1}; });
  }
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    expect_refused(corrupt, std::string(key) + " is 5000", [&](Values& v) { v[key] = uint32_t{5000}; });
  }
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id",
                          "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.padding_token_id"}) {
    expect_refused(corrupt, key, [&](Values& v) { v[key] = int32_t{-7}; });
    expect_refused(corrupt, key, [&](Values& v) { v[key] = std::string("2"); });
  }
  expect_refused(corrupt, "token types for", [](Values& v) {
    v["tokenizer.ggml.token_type"] = std::vector<int32_t>{1, 1, 1};
  });
  expect_refused(corrupt, "token_type[1] is 99", [](Values& v) {
    v["tokenizer.ggml.token_type"] = std::vector<int32_t>{1, 99};
  });
  expect_refused(corrupt, "vocabulary",
                 [](Values& v) { v["tokenizer.ggml.tokens"] = std::vector<std::string>{}; });
  expect_refused(corrupt, "merge 0",
                 [](Values& v) { v["tokenizer.ggml.merges"] = std::vector<std::string>{"ab"}; });
  expect_refused(ErrorCode::kUnsupported, "'bert'; this build runs byte-level BPE",
                 [](Values& v) { v["tokenizer.ggml.model"] = std::string("bert"); });
  expect_refused(ErrorCode::kUnsupported, "the pre-tokenizer 'x' is not known",
                 [](Values& v) { v["tokenizer.ggml.pre"] = std::string("x"); });
}

}  // namespace
}  // namespace claa
