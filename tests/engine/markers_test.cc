// Control tokens that a file gives another type, and that its chat template writes as markers.
#include "engine/markers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tokenizer/byte_level.h"

namespace claa {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kChatml =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

struct Vocabulary {
  TokenizerData data;
  std::vector<std::string> warnings;

  // All bytes, then `added`.
  Vocabulary(std::vector<std::pair<std::string, TokenType>> added, std::string chat_template) {
    data.model = "gpt2";
    data.pre = "gpt-2";
    data.source = "model.gguf";
    data.chat_template = std::move(chat_template);
    for (int b = 0; b < 256; ++b) add(byte_level_character(static_cast<uint8_t>(b)), TokenType::kNormal);
    for (const auto& [name, type] : added) add(name, type);
  }
  void add(const std::string& name, TokenType type) {
    data.tokens.push_back(name);
    data.token_types.push_back(static_cast<int32_t>(type));
  }
  int32_t id(std::string_view name) const {
    const auto found = std::find(data.tokens.begin(), data.tokens.end(), name);
    return static_cast<int32_t>(found - data.tokens.begin());
  }
  TokenType type(std::string_view name) const {
    return static_cast<TokenType>(data.token_types.at(static_cast<size_t>(id(name))));
  }
  Tokenizer adopt() {
    adopt_markers(data, warnings);
    return Tokenizer(data);
  }
};

class MistypedAs : public testing::TestWithParam<TokenType> {};

TEST_P(MistypedAs, WorksAsTheTemplateMeansIt) {
  Vocabulary vocabulary({{"<|im_start|>", TokenType::kControl}, {"<|im_end|>", GetParam()}}, kChatml);
  const Tokenizer tokenizer = vocabulary.adopt();
  const int32_t end = vocabulary.id("<|im_end|>");
  EXPECT_THAT(tokenizer.encode(std::vector<Span>{{"<|im_end|>", true}}), ElementsAre(end));
  EXPECT_TRUE(tokenizer.is_end_of_generation(end));
  EXPECT_TRUE(tokenizer.is_special(end));
  EXPECT_THAT(tokenizer.encode("a<|im_end|>"), Not(testing::Contains(end))) << "a user's text";
  ASSERT_EQ(vocabulary.warnings.size(), 1u);
  EXPECT_THAT(vocabulary.warnings[0], testing::AllOf(HasSubstr("model.gguf"), HasSubstr("<|im_end|>"),
                                                     Not(HasSubstr("<|im_start|>"))));
}

INSTANTIATE_TEST_SUITE_P(Markers, MistypedAs,
                         testing::Values(TokenType::kNormal, TokenType::kUserDefined, TokenType::kUnused,
                                         TokenType::kUndefined));

TEST(Markers, OfAllForms) {
  const std::vector<std::pair<std::string, std::string>> turns = {{"<start_of_turn>", "<end_of_turn>"},
                                                                  {"[INST]", "[/INST]"},
                                                                  {"<s>", "</s>"},
                                                                  {"<|start_header_id|>", "<|eot_id|>"},
                                                                  {"<｜User｜>", "<｜end▁of▁sentence｜>"},
                                                                  {"[|user|]", "<|endofturn|>"}};
  for (const auto& [begin, end] : turns) {
    SCOPED_TRACE(begin);
    Vocabulary vocabulary(
        {{begin, TokenType::kNormal}, {end, TokenType::kUserDefined}},
        "{% for m in messages %}" + begin + "{{ m.role }}: {{ m.content }}" + end + "{% endfor %}");
    const Tokenizer tokenizer = vocabulary.adopt();
    EXPECT_EQ(vocabulary.type(end), TokenType::kControl);
    EXPECT_TRUE(tokenizer.is_end_of_generation(vocabulary.id(end)));
    EXPECT_EQ(vocabulary.type(begin), TokenType::kControl);
  }
}

TEST(Markers, MadeOfRolesAndOfParts) {
  Vocabulary vocabulary({{"<|user|>", TokenType::kNormal},
                         {"<|assistant|>", TokenType::kUserDefined},
                         {"<|end|>", TokenType::kNormal}},
                        "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% for part in m.content %}{{ "
                        "part.text }}{% endfor %}"
                        "{{ '<|' ~ 'end|>' }}{% endfor %}");
  const Tokenizer tokenizer = vocabulary.adopt();
  for (const char* name : {"<|user|>", "<|assistant|>", "<|end|>"})
    EXPECT_EQ(vocabulary.type(name), TokenType::kControl) << name;
  EXPECT_TRUE(tokenizer.is_end_of_generation(vocabulary.id("<|end|>")));
  EXPECT_FALSE(tokenizer.is_end_of_generation(vocabulary.id("<|user|>")));
}

// A token that the template writes after an answer ends it, whatever its name is.
TEST(Markers, WhatFollowsAnAnswerEndsIt) {
  Vocabulary vocabulary({{"<|q|>", TokenType::kControl}, {"<|fin|>", TokenType::kControl}},
                        "{% for m in messages %}{% if m.role == 'user' %}<|q|>{{ m.content }}\n{% else %}"
                        "{{ m.content | upper }} <|fin|>{% endif %}{% endfor %}");
  const Tokenizer upper = vocabulary.adopt();
  EXPECT_THAT(vocabulary.data.turn_ends, IsEmpty()) << "the answer cannot be found when it is changed";
  vocabulary.data.chat_template =
      "{% for m in messages %}{% if m.role == 'user' %}<|q|>{{ m.content }}\n{% else %}"
      "{{ m.content }} <|fin|>{% endif %}{% endfor %}";
  const Tokenizer tokenizer = vocabulary.adopt();
  EXPECT_TRUE(tokenizer.is_end_of_generation(vocabulary.id("<|fin|>")));
  EXPECT_FALSE(tokenizer.is_end_of_generation(vocabulary.id("<|q|>")));
  EXPECT_THAT(vocabulary.warnings, IsEmpty());
}

TEST(Markers, LeavesTextAlone) {
  Vocabulary vocabulary({{"<|im_start|>", TokenType::kControl},
                         {"<|im_end|>", TokenType::kControl},
                         {"<think>", TokenType::kUserDefined},
                         {"</think>", TokenType::kUserDefined},
                         {"<|other|>", TokenType::kNormal},
                         {"[x]", TokenType::kNormal},
                         {"system", TokenType::kNormal},
                         {"<a b>", TokenType::kUserDefined}},
                        "<think></think>[x]<a b>" + std::string(kChatml));
  const std::vector<int32_t> before = vocabulary.data.token_types;
  const Tokenizer tokenizer = vocabulary.adopt();
  EXPECT_EQ(vocabulary.data.token_types, before);
  EXPECT_THAT(vocabulary.warnings, IsEmpty());
}

// A word that merges make is text, even where it looks like a marker.
TEST(Markers, LeavesWordsOfTheVocabularyAlone) {
  const std::string source = "{% for m in messages %}{{ m.content }}<p>{% endfor %}";
  const auto with_merges = [&] {
    Vocabulary vocabulary({{"<p", TokenType::kNormal}, {"<p>", TokenType::kNormal}}, source);
    vocabulary.data.merges = {"< p", "<p >"};
    return vocabulary;
  };
  Vocabulary word = with_merges();
  word.adopt();
  EXPECT_EQ(word.type("<p>"), TokenType::kNormal);
  Vocabulary end = with_merges();
  end.data.eos = end.id("<p>");
  const Tokenizer tokenizer = end.adopt();
  EXPECT_EQ(end.type("<p>"), TokenType::kControl) << "the file says that it ends a text";
  EXPECT_THAT(tokenizer.encode("<p>"), Not(testing::Contains(end.id("<p>"))));
}

TEST(Markers, FilesWithoutTypes) {
  Vocabulary vocabulary({{"<|im_start|>", TokenType::kNormal}, {"<|im_end|>", TokenType::kNormal}}, kChatml);
  vocabulary.data.eos = vocabulary.id("<|im_end|>");
  vocabulary.data.token_types.clear();
  const Tokenizer tokenizer = vocabulary.adopt();
  EXPECT_THAT(tokenizer.encode(std::vector<Span>{{"<|im_start|>", true}}),
              ElementsAre(vocabulary.id("<|im_start|>")));
  EXPECT_TRUE(tokenizer.is_special(vocabulary.id("<|im_end|>")));
}

TEST(Markers, TemplatesThatDoNotParseChangeNothing) {
  for (const char* source : {"", "{{ <|im_end|>", "{{ raise_exception('<|im_end|>') }}"}) {
    Vocabulary vocabulary({{"<|im_end|>", TokenType::kNormal}}, source);
    vocabulary.adopt();
    EXPECT_EQ(vocabulary.type("<|im_end|>"), TokenType::kNormal);
    EXPECT_THAT(vocabulary.warnings, IsEmpty());
  }
}

TEST(Markers, OneWarningForAll) {
  std::vector<std::pair<std::string, TokenType>> added;
  std::string source;
  for (int i = 0; i < 9; ++i) {
    added.emplace_back("<|t" + std::to_string(i) + "|>", TokenType::kNormal);
    source += added.back().first;
  }
  Vocabulary vocabulary(
      added, source + "{{ messages[0].content }}{{ messages[1].content }}{{ messages[2].content }}");
  vocabulary.adopt();
  ASSERT_EQ(vocabulary.warnings.size(), 1u);
  EXPECT_THAT(vocabulary.warnings[0],
              testing::AllOf(HasSubstr("<|t5|> and 3 more"), Not(HasSubstr("<|t6|>"))));
}

TEST(Markers, NamesOfControlTokensInText) {
  Vocabulary vocabulary({{"<|im_end|>", TokenType::kControl}, {"<tool>", TokenType::kUserDefined}}, "");
  const Tokenizer tokenizer = vocabulary.adopt();
  EXPECT_TRUE(tokenizer.names_control("<|im_end|>"));
  EXPECT_TRUE(tokenizer.names_control("<tool>x<|im_end|>\n"));
  EXPECT_FALSE(tokenizer.names_control("<tool>"));
  EXPECT_FALSE(tokenizer.names_control("<|im_end"));
  EXPECT_FALSE(tokenizer.names_control(""));
}

}  // namespace
}  // namespace claa
