// Tokenizers of tokenizer.json files against the Python package `tokenizers` (tests/data/tokenizer/json.json,
// made by tools/make_tokenizer_json_goldens.py), and files that this build refuses.
#include <gmock/gmock.h>

#include "claa/error.h"
#include "folder/tokenizer_settings.h"
#include "tokenizer/tokenizer_support.h"

namespace claa {
namespace {

using boost::json::object;
using boost::json::value;
using testing::HasSubstr;

TokenizerData data_of(const TokenizerFiles& files, uint64_t rows = 0) {
  gguf::Writer writer;
  describe_tokenizer(files, rows, writer);
  const std::vector<std::byte> bytes = writer.to_bytes();
  return read_tokenizer_data(gguf::File::parse(bytes, files.folder));
}

Tokenizer load(const value& json) {
  return Tokenizer(data_of({"folder", boost::json::serialize(json), "", "", ""}));
}

const object& goldens() {
  static const value json = boost::json::parse(test::read_text(test::data_path("json.json")));
  return json.as_object();
}

class ByteLevel : public testing::TestWithParam<const char*> {};

// Steps from the file, vocabulary and merges from the GGUF file of the same kind.
TEST_P(ByteLevel, IdsEqualThoseOfThePythonPackage) {
  value json = goldens().at("byte_level").at(GetParam());
  const TokenizerData data = read_tokenizer_data(gguf::File::open(test::model_path(GetParam())));
  object vocab;
  boost::json::array added, merges;
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const int32_t type = data.token_types[id];
    if (type == static_cast<int32_t>(TokenType::kNormal)) {
      vocab[data.tokens[id]] = id;
    } else {
      added.push_back(object{{"id", id},
                             {"content", data.tokens[id]},
                             {"special", type == static_cast<int32_t>(TokenType::kControl)},
                             {"lstrip", false},
                             {"normalized", false}});
    }
  }
  for (const std::string& merge : data.merges) {
    const size_t space = merge.find(' ');
    // Both forms: pairs, and texts as older files have them.
    if (merges.size() % 2 == 0)
      merges.push_back(boost::json::array{merge.substr(0, space), merge.substr(space + 1)});
    else
      merges.push_back(value(merge));
  }
  json.at("model").as_object()["vocab"] = vocab;
  json.at("model").as_object()["merges"] = merges;
  json.as_object()["added_tokens"] = added;
  test::expect_goldens(load(json), GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, ByteLevel,
                         testing::Values("gpt-2", "llama-bpe", "qwen2", "qwen35", "tekken", "gpt-4o",
                                         "seed-coder", "deepseek-v3"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });

value character_json(const value& style) {
  value json = style.at("json");
  object& model = json.at("model").as_object();
  model["vocab"] = goldens().at("vocabulary");
  model["merges"] = goldens().at("merges");
  return json;
}

TEST(Characters, IdsEqualThoseOfThePythonPackage) {
  const auto& texts = goldens().at("texts").as_array();
  for (const value& style : goldens().at("characters").as_array()) {
    SCOPED_TRACE(test::to_text(style.at("name")));
    const Tokenizer tokenizer = load(character_json(style));
    const auto& ids = style.at("ids").as_array();
    ASSERT_EQ(ids.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i)
      EXPECT_EQ(tokenizer.encode(test::to_text(texts[i])), test::to_ids(ids[i])) << texts[i];
    const std::string chat = test::to_text(style.at("chat"));
    const std::vector<Span> spans = {{chat, true}};
    EXPECT_EQ(tokenizer.encode(spans), test::to_ids(style.at("chat_ids")));
  }
}

// What a text becomes, without the space that may be put before it.
TEST(Characters, DecodingGivesTheTextBack) {
  const Tokenizer tokenizer = load(character_json(goldens().at("characters").as_array()[0]));
  for (const value& json : goldens().at("texts").as_array()) {
    const std::string text = test::to_text(json);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

// Words are cut where no merge joins: the ids are those of one long word.
TEST(Characters, LongTextsTakeLinearTime) {
  const Tokenizer tokenizer = load(character_json(goldens().at("characters").as_array()[0]));
  const std::string excerpt = test::read_text(test::data_path("excerpt.txt"));
  std::string text;
  while (text.size() < (size_t{1} << 20)) text += excerpt;
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  EXPECT_GT(tokenizer.encode(std::string(size_t{1} << 20, 'a')).size(), 1000u);
}

const char* const kSmall =
    R"({"added_tokens":[{"id":3,"content":"<s>","special":true},{"id":5,"content":"</s>",
"special":true}],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},
"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}}]},
"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}})";

TEST(TokenizerFiles, OtherFilesSayWhatIsSpecial) {
  TokenizerFiles files{"folder", kSmall, R"({"bos_token":"<s>","eos_token":{"content":"</s>"},
"chat_template":[{"name":"tool","template":"no"},{"name":"default","template":"{{ messages }}"}]})",
                       R"({"eos_token_id":[5,2]})", ""};
  const TokenizerData data = data_of(files);
  EXPECT_EQ(data.bos, 3);
  EXPECT_EQ(data.eos, 5);
  EXPECT_TRUE(data.add_bos) << "the post-processor puts it there";
  EXPECT_EQ(data.chat_template, "{{ messages }}");
  const Tokenizer tokenizer(data);
  EXPECT_EQ(tokenizer.vocab_size(), 6);
  EXPECT_TRUE(tokenizer.is_end_of_generation(2));
  EXPECT_TRUE(tokenizer.is_end_of_generation(5));
  EXPECT_FALSE(tokenizer.is_end_of_generation(0));
  EXPECT_TRUE(tokenizer.is_special(4)) << "an id without a token";
  EXPECT_EQ(tokenizer.encode("ab<s>b"), (std::vector<int32_t>{2, 1}));
  EXPECT_EQ(data_of(files, 9).tokens.size(), 9u) << "rows of the embedding that no token has";
  EXPECT_TRUE(Tokenizer(data_of(files, 9)).is_special(8));
  files.chat_template = "from the file of its own";
  EXPECT_EQ(data_of(files).chat_template, "from the file of its own");
  files.tokenizer_config = R"({"bos_token":"<s>","add_bos_token":false,"chat_template":"one"})";
  EXPECT_FALSE(data_of(files).add_bos);
  files.chat_template.clear();
  EXPECT_EQ(data_of(files).chat_template, "one");
}

struct Refusal {
  const char* name;
  const char* from;  // in kSmall
  const char* to;
  const char* part;
  ErrorCode code = ErrorCode::kUnsupported;
};

std::vector<Refusal> refusals() {
  const auto corrupt = ErrorCode::kCorruptFile;
  return {
      {"Unigram", "\"BPE\"", "\"Unigram\"", "model.type is \"Unigram\"; this build runs BPE"},
      {"Suffix", "\"vocab\"", "\"end_of_word_suffix\":\"</w>\",\"vocab\"", "end_of_word_suffix"},
      {"Normaliser", "\"pre_tokenizer\"", "\"normalizer\":{\"type\":\"Lowercase\"},\"pre_tokenizer\"",
       "normalizer.type is \"Lowercase\""},
      {"PreTokenizer", "\"ByteLevel\"", "\"Whitespace\"", "pre_tokenizer.type is \"Whitespace\""},
      {"PrefixSpace", "\"add_prefix_space\":false", "\"add_prefix_space\":true", "add_prefix_space is true"},
      {"Behaviour", "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}",
       "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Removed\",\"invert\":false}",
       "behavior is \"Removed\""},
      {"Expression", "{\"type\":\"ByteLevel\",",
       "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},"
       "\"behavior\":"
       "\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false}],",
       "the pre-tokenizer's expression '(a' is not understood"},
      {"Alone", "\"special\":true}],", "\"special\":true,\"single_word\":true}],",
       "token '</s>' is to stand alone"},
      {"NoVocabulary", "\"vocab\"", "\"words\"", "model.vocab is missing", corrupt},
      {"IdTwice", "\"b\":1", "\"b\":0", "tokens 'a' and 'b' have one id, 0", corrupt},
      {"TokenTwice", "\"id\":5,\"content\":\"</s>\"", "\"id\":5,\"content\":\"a\"", "token 'a' has two ids",
       corrupt},
      {"IdNegative", "\"b\":1", "\"b\":-1", "token 'b' has the id -1", corrupt},
      {"IdHuge", "\"b\":1", "\"b\":9999999", "ids up to 9999999", corrupt},
      {"MergeOfThree", "[[\"a\",\"b\"]]", "[[\"a\",\"b\",\"c\"]]", "model.merges", corrupt},
      {"MergeUnknown", "[[\"a\",\"b\"]]", "[[\"a\",\"a\"]]", "needs token 'aa'", corrupt},
      {"MergeWithSpace", "[[\"a\",\"b\"]]", "[[\"a \",\"b\"]]", "has a space inside"},
      {"Broken", "\"merges\"", "merges", "is not a JSON object", corrupt},
  };
}

TEST(TokenizerFiles, RefusesByName) {
  for (const Refusal& refusal : refusals()) {
    SCOPED_TRACE(refusal.name);
    std::string json = kSmall;
    const size_t at = json.find(refusal.from);
    ASSERT_NE(at, std::string::npos);
    json.replace(at, std::strlen(refusal.from), refusal.to);
    try {
      Tokenizer(data_of({"folder", json, "", "", ""}));
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), refusal.code) << error.what();
      EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("folder"), HasSubstr(refusal.part)));
    }
  }
}

TEST(TokenizerFiles, OtherFilesAreCheckedToo) {
  const auto refused = [](const char* config, const char* generation, const char* part) {
    try {
      data_of({"folder", kSmall, config, generation, ""});
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  };
  refused(R"({"bos_token":"<x>"})", "", "bos_token is \"<x>\"");
  refused(R"({"bos_token":7})", "", "bos_token is 7, but a string is needed");
  refused(R"({"chat_template":[{"name":"tool","template":"x"}]})", "", "named default");
  refused("", R"({"eos_token_id":6})", "eos_token_id is 6");
  refused("", R"({"eos_token_id":["a"]})", "eos_token_id");
  refused("[]", "", "tokenizer_config.json");
}

// An expression that takes exponentially many steps ends in an error, soon.
TEST(TokenizerFiles, ExpressionsMayNotRunAway) {
  std::string json = kSmall;
  const std::string from = "{\"type\":\"ByteLevel\",";
  json.replace(
      json.find(from), from.size(),
      "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+$|b\"},"
      "\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false}],");
  const Tokenizer tokenizer(data_of({"folder", json, "", "", ""}));
  EXPECT_EQ(tokenizer.encode("ab"), (std::vector<int32_t>{0, 1}));
  EXPECT_THROW(tokenizer.encode(std::string(200, 'a') + "c"), Error);
}

}  // namespace
}  // namespace claa
