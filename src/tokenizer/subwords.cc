#include "tokenizer/subwords.h"

#include <algorithm>

#include "text/normalize.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/spaces.h"
#include "tokenizer/tokenizer_data.h"
#include "tokenizer/word_expression.h"

namespace claa {
namespace {

// Byte-level BPE: normalised, cut into words, merged.
class ByteLevelSubwords : public Subwords {
 public:
  ByteLevelSubwords(const TokenizerData& data, const std::vector<TokenRole>& roles, bool ignore_merges,
                    bool nfc)
      : tokens_(data.tokens),
        nfc_(nfc),
        bpe_(data.tokens, roles, data.merges, {.ignore_merges = ignore_merges, .source = data.source}) {}
  const std::vector<std::string>& bytes() const override { return bpe_.bytes(); }
  int32_t find(std::string_view token) const override { return bpe_.find(tokens_, token); }
  int32_t byte_token(uint8_t byte) const override { return bpe_.byte_token(byte); }

 protected:
  // The text in the form that is cut; `normal` keeps it.
  std::string_view normalized(std::string_view text, std::string& normal) const {
    if (!nfc_ || !may_need_nfc(text)) return text;
    normal = normalize_nfc(text);
    return normal;
  }
  const BpeModel& bpe() const { return bpe_; }

 private:
  const std::vector<std::string>& tokens_;
  bool nfc_;
  BpeModel bpe_;
};

// With a pre-tokenizer that is known by name.
class NamedSubwords : public ByteLevelSubwords {
 public:
  NamedSubwords(const TokenizerData& data, const std::vector<TokenRole>& roles, PreKind kind)
      : ByteLevelSubwords(data, roles, ignores_merges(kind), normalizes(kind)), pre_(kind) {}
  void encode(std::string_view text, Before /*before*/, Scratch& scratch,
              std::vector<int32_t>& ids) const override {
    std::string normal;
    PreTokenizer::Words words(pre_, normalized(text, normal));
    for (std::string_view word = words.next(); !word.empty(); word = words.next())
      bpe().encode_word(word, ids, scratch.bpe);
  }

 private:
  PreTokenizer pre_;
};

// With the expressions of a tokenizer.json.
class ExpressionSubwords : public ByteLevelSubwords {
 public:
  ExpressionSubwords(const TokenizerData& data, const std::vector<TokenRole>& roles)
      : ByteLevelSubwords(data, roles, data.ignore_merges, data.nfc),
        cutter_(data.expressions, data.source) {}
  void encode(std::string_view text, Before /*before*/, Scratch& scratch,
              std::vector<int32_t>& ids) const override {
    std::string normal;
    for (const std::string_view word : cutter_.words(normalized(text, normal)))
      bpe().encode_word(word, ids, scratch.bpe);
  }

 private:
  WordCutter cutter_;
};

// BPE of characters, as the tokenizer.json files of Gemma and Llama 2 have it, and files of Gemma 4.
class CharacterSubwords : public Subwords {
 public:
  CharacterSubwords(const TokenizerData& data, const std::vector<TokenRole>& roles)
      : data_(data),
        bpe_(data.tokens, roles, data.merges,
             {.ignore_merges = data.ignore_merges,
              .characters = true,
              .byte_fallback = data.byte_fallback,
              .fuse_unknown = data.fuse_unknown,
              .unknown = data.unknown,
              .source = data.source}) {}
  void encode(std::string_view text, Before before, Scratch& scratch,
              std::vector<int32_t>& ids) const override {
    std::string plain = with_plain_spaces(text);
    if (data_.nfc && may_need_nfc(plain)) plain = normalize_nfc(plain);
    if (takes_space(plain, before)) plain.insert(0, 1, ' ');
    const std::string_view all = plain;
    for (size_t begin = 0; begin < all.size();) {
      const size_t end =
          data_.cut_at_spaces ? std::min(all.find(' ', begin + 1), all.size()) : bpe_.word_end(all, begin);
      bpe_.encode_word(all.substr(begin, end - begin), ids, scratch.bpe);
      begin = end;
    }
  }
  const std::vector<std::string>& bytes() const override { return bpe_.bytes(); }
  int32_t find(std::string_view token) const override { return bpe_.find(data_.tokens, token); }
  int32_t byte_token(uint8_t byte) const override { return bpe_.byte_token(byte); }

 private:
  bool takes_space(std::string_view plain, Before before) const {
    switch (data_.space_prefix) {
      case SpacePrefix::kNever:
        return false;
      case SpacePrefix::kAlways:
        return !plain.empty();
      case SpacePrefix::kAlwaysUnlessThere:
        return !plain.starts_with(' ');
      case SpacePrefix::kFirstUnlessThere:
        return before == Before::kNothing && !plain.starts_with(' ');
    }
    return false;
  }

  const TokenizerData& data_;
  BpeModel bpe_;
};

class SentencePieceSubwords : public Subwords {
 public:
  SentencePieceSubwords(const TokenizerData& data, const std::vector<TokenRole>& roles,
                        const std::vector<bool>& is_byte)
      : space_prefix_(data.add_space_prefix),
        spm_(data.tokens, roles, is_byte, data.scores, data.unknown, data.source) {}
  std::string spelled(std::string_view text) const override { return with_plain_spaces(text); }
  void encode(std::string_view text, Before before, Scratch& scratch,
              std::vector<int32_t>& ids) const override {
    std::string prefixed;
    if (before != Before::kText && space_prefix_ && !text.empty()) {
      prefixed = " " + std::string(text);
      text = prefixed;
    }
    spm_.encode(text, ids, scratch.spm);
  }
  const std::vector<std::string>& bytes() const override { return spm_.bytes(); }
  int32_t find(std::string_view token) const override { return spm_.find(token); }
  int32_t byte_token(uint8_t byte) const override { return spm_.byte_token(byte); }

 private:
  bool space_prefix_;
  SpmModel spm_;
};

}  // namespace

std::unique_ptr<const Subwords> make_subwords(const TokenizerData& data, const std::vector<TokenRole>& roles,
                                              const std::vector<bool>& is_byte) {
  if (data.model == "llama") return std::make_unique<SentencePieceSubwords>(data, roles, is_byte);
  if (data.model == "bpe" || data.model == kGemma4Bpe)
    return std::make_unique<CharacterSubwords>(data, roles);
  if (data.pre == kExpressions) return std::make_unique<ExpressionSubwords>(data, roles);
  return std::make_unique<NamedSubwords>(data, roles, *pre_kind_from_name(data.pre));
}

}  // namespace claa
