// Gemma 4's BPE: ids against the Python package `tokenizers` (tests/data/tokenizer/gemma4.json, made by
// tools/make_gemma4_goldens.py), and what its files leave out.
#include <gmock/gmock.h>

#include "claa/error.h"
#include "gguf/writer.h"
#include "tokenizer_support.h"

namespace claa {
namespace {

using testing::HasSubstr;

class Gemma4Tokenizer : public testing::Test {
 protected:
  template <typename T>
  std::vector<T> list(const char* key) const {
    return boost::json::value_to<std::vector<T>>(golden_.at(key));
  }
  // A model file's keys, as converters write them.
  gguf::Writer file() const {
    gguf::Writer writer;
    writer.add("tokenizer.ggml.model", std::string("gemma4"));
    writer.add("tokenizer.ggml.tokens", list<std::string>("tokens"));
    writer.add("tokenizer.ggml.token_type", list<int32_t>("types"));
    writer.add("tokenizer.ggml.merges", list<std::string>("merges"));
    writer.add("tokenizer.ggml.eos_token_id", uint32_t{1});
    writer.add("tokenizer.ggml.bos_token_id", uint32_t{2});
    writer.add("tokenizer.ggml.unknown_token_id", uint32_t{3});
    return writer;
  }
  static TokenizerData read(const gguf::Writer& writer) {
    const std::vector<std::byte> bytes = writer.to_bytes();
    return read_tokenizer_data(gguf::File::parse(bytes, "m.gguf"));
  }
  const boost::json::value golden_ = boost::json::parse(test::read_text(test::data_path("gemma4.json")));
};

TEST_F(Gemma4Tokenizer, IdsAreThoseOfThePythonPackage) {
  const Tokenizer tokenizer(read(file()));
  const auto& texts = golden_.at("texts").as_array();
  ASSERT_GT(texts.size(), 300u);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = test::to_text(texts[i]);
    const std::vector<int32_t> want = test::to_ids(golden_.at("ids").as_array()[i]);
    EXPECT_EQ(tokenizer.encode(text), want) << text;
    EXPECT_EQ(tokenizer.encode(text), want) << text << ", with words that are known";
  }
  const std::string chat = test::to_text(golden_.at("chat"));
  const Span special[] = {{chat, true}};
  EXPECT_EQ(tokenizer.encode(special), test::to_ids(golden_.at("chat_ids")));
}

TEST_F(Gemma4Tokenizer, DecodingGivesTheTextBack) {
  const Tokenizer tokenizer(read(file()));
  for (const boost::json::value& value : golden_.at("texts").as_array()) {
    std::string text = test::to_text(value);
    const std::string decoded = tokenizer.decode(tokenizer.encode(text));
    // U+2581 counts as a space.
    for (size_t at = text.find("\xe2\x96\x81"); at != std::string::npos; at = text.find("\xe2\x96\x81"))
      text.replace(at, 3, " ");
    EXPECT_EQ(decoded, text);
  }
}

TEST_F(Gemma4Tokenizer, ATextNeverBecomesAControlToken) {
  const Tokenizer tokenizer(read(file()));
  for (const int32_t id : tokenizer.encode("<bos><|turn>x<turn|>")) EXPECT_FALSE(tokenizer.is_special(id));
}

TEST_F(Gemma4Tokenizer, ATurnEndsBeforeAToolAnswers) {
  const Tokenizer tokenizer(read(file()));
  for (const char* name : {"<eos>", "<turn|>", "<|tool_response>"})
    EXPECT_TRUE(tokenizer.is_end_of_generation(tokenizer.find(name).value())) << name;
  EXPECT_FALSE(tokenizer.is_end_of_generation(tokenizer.find("<tool_call|>").value()));
  const std::vector<int32_t> call = tokenizer.encode("<|tool_call>");
  ASSERT_EQ(call.size(), 1u);
  EXPECT_EQ(tokenizer.decode(call), "<|tool_call>") << "calls are seen";
}

TEST_F(Gemma4Tokenizer, BeginsWithBosWhateverTheFileSays) {
  gguf::Writer writer = file();
  writer.add("tokenizer.ggml.add_bos_token", false);
  EXPECT_TRUE(read(writer).add_bos);
}

TEST_F(Gemma4Tokenizer, MergesAreNeeded) {
  gguf::Writer writer;
  writer.add("tokenizer.ggml.model", std::string("gemma4"));
  writer.add("tokenizer.ggml.tokens", list<std::string>("tokens"));
  try {
    read(writer);
    FAIL() << "a file without merges was read";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
    EXPECT_THAT(error.what(), HasSubstr("m.gguf: tokenizer.ggml.merges is missing"));
  }
}

}  // namespace
}  // namespace claa
