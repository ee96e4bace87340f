#include "tokenizer/subwords.h"

#include "text/normalize.h"
#include "tokenizer/pretokenizer.h"

namespace claa {
namespace {

// Byte-level BPE: normalised, cut into words, merged.
class ByteLevelSubwords : public Subwords {
 public:
  ByteLevelSubwords(const TokenizerData& data, const std::vector<TokenRole>& roles)
      : tokens_(data.tokens),
        kind_(*pre_kind_from_name(data.pre)),
        bpe_(data.tokens, roles, data.merges,
             {.ignore_merges = ignores_merges(kind_), .source = data.source}),
        pre_(kind_) {}
  void encode(std::string_view text, bool /*first*/, Scratch& scratch,
              std::vector<int32_t>& ids) const override {
    std::string normal;
    if (normalizes(kind_) && may_need_nfc(text)) {
      normal = normalize_nfc(text);
      text = normal;
    }
    PreTokenizer::Words words(pre_, text);
    for (std::string_view word = words.next(); !word.empty(); word = words.next())
      bpe_.encode_word(word, ids, scratch.bpe);
  }
  const std::vector<std::string>& bytes() const override { return bpe_.bytes(); }
  int32_t find(std::string_view token) const override { return bpe_.find(tokens_, token); }
  int32_t byte_token(uint8_t byte) const override { return bpe_.byte_token(byte); }

 private:
  const std::vector<std::string>& tokens_;
  PreKind kind_;
  BpeModel bpe_;
  PreTokenizer pre_;
};

class SentencePieceSubwords : public Subwords {
 public:
  SentencePieceSubwords(const TokenizerData& data, const std::vector<TokenRole>& roles,
                        const std::vector<bool>& is_byte)
      : space_prefix_(data.add_space_prefix),
        spm_(data.tokens, roles, is_byte, data.scores, data.unknown, data.source) {}
  std::string spelled(std::string_view text) const override { return with_plain_spaces(text); }
  void encode(std::string_view text, bool first, Scratch& scratch, std::vector<int32_t>& ids) const override {
    std::string prefixed;
    if (first && space_prefix_ && !text.empty()) {
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
  return std::make_unique<ByteLevelSubwords>(data, roles);
}

}  // namespace claa
