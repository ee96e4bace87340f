// A small vocabulary made in code, and byte-pair encoding as its definition says it: for tests and the
// fuzzer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/usize.h"
#include "text/normalize.h"
#include "text/utf8.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/tokenizer.h"

namespace claa::test {

// All bytes, some merges (with competing ranks, and spaces, digits, accents), a few added tokens.
inline TokenizerData small_data(const std::string& pre) {
  TokenizerData data;
  data.model = "gpt2";
  data.pre = pre;
  for (int b = 0; b < 256; ++b) data.tokens.push_back(byte_level_character(static_cast<uint8_t>(b)));
  const std::pair<const char*, const char*> merges[] = {
      {"a", "b"},   {"b", "a"},    {"Ġ", "Ġ"},   {"t", "h"},    {"th", "e"},   {"Ġ", "the"},  {"Ã", "©"},
      {"ab", "ab"}, {"a", "a"},    {"aa", "aa"}, {"b", "c"},    {"ab", "c"},   {"aaaa", "a"}, {"ĠĠ", "ĠĠ"},
      {"Ċ", "Ċ"},   {"č", "Ċ"},    {"1", "2"},   {"12", "3"},   {"'", "s"},    {"ð", "Ł"},    {"ðŁ", "Ļ"},
      {"e", "r"},   {"the", "re"}, {"r", "e"},   {"abab", "c"}, {"ĠĠ", "the"}, {"!", "!"},    {"!!", "Ċ"},
      {"Ġ", "a"},   {"Ġa", "b"},   {"Ì", "ģ"},   {"e", "Ì"},    {"ï", "¿"},    {"ï¿", "½"},   {"<", "|"},
      {"0", "0"},   {"00", "0"},   {"ĉ", "ĉ"},   {"i", "n"},    {"in", "g"},   {"n", "g"},    {"i", "ng"}};
  std::map<std::string, bool> known;
  for (const auto& [left, right] : merges) {
    data.merges.push_back(std::string(left) + " " + right);
    const std::string result = std::string(left) + right;
    if (!known[result]) data.tokens.push_back(result);
    known[result] = true;
  }
  data.tokens.push_back("ythe");  // no merge leads to it
  data.token_types.assign(data.tokens.size(), static_cast<int32_t>(TokenType::kNormal));
  const auto add = [&](const char* text, TokenType type) {
    data.tokens.push_back(text);
    data.token_types.push_back(static_cast<int32_t>(type));
    return static_cast<int32_t>(data.tokens.size()) - 1;
  };
  data.eos = add("<|end|>", TokenType::kControl);
  data.bos = add("<|start|>", TokenType::kControl);
  add("<|end|>>", TokenType::kControl);
  add("<tool>", TokenType::kUserDefined);
  return data;
}

// The definition, on strings: while some adjacent pair can be merged, merge the one of lowest rank, leftmost.
class NaiveBpe {
 public:
  explicit NaiveBpe(const TokenizerData& data) {
    for (size_t i = 0; i < data.tokens.size(); ++i) ids_[data.tokens[i]] = static_cast<int32_t>(i);
    for (size_t i = 0; i < data.merges.size(); ++i) {
      const size_t space = data.merges[i].find(' ');
      ranks_[{data.merges[i].substr(0, space), data.merges[i].substr(space + 1)}] = i;
    }
  }

  std::vector<int32_t> encode_word(std::string_view word, bool ignore_merges) const {
    std::vector<std::string> parts;
    std::string whole;
    for (const char c : word) {
      parts.push_back(byte_level_character(static_cast<uint8_t>(c)));
      whole += parts.back();
    }
    if (ignore_merges && ids_.count(whole) != 0) return {ids_.at(whole)};
    while (true) {
      size_t best = 0;
      size_t best_rank = ranks_.size();
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto found = ranks_.find({parts[i], parts[i + 1]});
        if (found != ranks_.end() && found->second < best_rank) {
          best = i;
          best_rank = found->second;
        }
      }
      if (best_rank == ranks_.size()) break;
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    std::vector<int32_t> ids;
    for (const std::string& part : parts) ids.push_back(ids_.at(part));
    return ids;
  }

 private:
  std::map<std::string, int32_t> ids_;
  std::map<std::pair<std::string, std::string>, size_t> ranks_;
};

// Tokenizer::encode(spans) the slow and plain way. It shares only the word patterns, UTF-8 repair and NFC
// with it.
class NaiveTokenizer {
 public:
  explicit NaiveTokenizer(const TokenizerData& data)
      : data_(data), kind_(*pre_kind_from_name(data.pre)), words_(kind_, false), bpe_(data) {}

  std::vector<int32_t> encode(std::span<const Span> spans) const {
    std::string text;
    std::string special;  // one flag per byte
    for (const Span& span : spans) {
      text += span.text;
      special.append(span.text.size(), span.special ? 's' : '.');
    }
    std::vector<int32_t> ids;
    std::string stretch;
    for (size_t pos = 0; pos < text.size();) {
      const int32_t id = added_token_at(text, special, pos);
      if (id < 0) {
        stretch += text[pos++];
        continue;
      }
      append_words(stretch, ids);
      stretch.clear();
      ids.push_back(id);
      pos += data_.tokens[usize(id)].size();
    }
    append_words(stretch, ids);
    return ids;
  }

 private:
  int32_t added_token_at(const std::string& text, const std::string& special, size_t pos) const {
    int32_t best = -1;
    size_t best_size = 0;
    for (size_t i = 0; i < data_.tokens.size(); ++i) {
      const std::string& token = data_.tokens[i];
      const auto type = static_cast<TokenType>(data_.token_types[i]);
      if (type == TokenType::kNormal || token.size() <= best_size) continue;
      if (text.compare(pos, token.size(), token) != 0) continue;
      const std::string flags = special.substr(pos, token.size());
      if (type == TokenType::kControl && std::count(flags.begin(), flags.end(), '.') > 0) continue;
      best = static_cast<int32_t>(i);
      best_size = token.size();
    }
    return best;
  }

  void append_words(const std::string& stretch, std::vector<int32_t>& ids) const {
    std::string text = replace_invalid_utf8(stretch);
    if (kind_ == PreKind::kQwen2) text = normalize_nfc(text);
    for (const auto word : words_.split(text)) {
      const auto part = bpe_.encode_word(word, kind_ == PreKind::kLlama3);
      ids.insert(ids.end(), part.begin(), part.end());
    }
  }

  TokenizerData data_;
  PreKind kind_;
  PreTokenizer words_;
  NaiveBpe bpe_;
};

}  // namespace claa::test
