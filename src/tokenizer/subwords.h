// The kinds of tokenizers behind one interface: how text between added tokens becomes tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/bpe.h"
#include "tokenizer/spm.h"
#include "tokenizer/tokenizer.h"

namespace claa {

// What stands before a text: nothing, a control token, or other text.
enum class Before { kNothing, kControl, kText };

// Immutable.
class Subwords {
 public:
  virtual ~Subwords() = default;
  // Memory of one text.
  struct Scratch {
    BpeModel::Scratch bpe;
    SpmModel::Scratch spm;
  };
  // A spelling that means the same, in which added tokens are looked for.
  virtual std::string spelled(std::string_view text) const { return std::string(text); }
  // Appends the tokens of valid UTF-8.
  virtual void encode(std::string_view text, Before before, Scratch& scratch,
                      std::vector<int32_t>& ids) const = 0;
  virtual const std::vector<std::string>& bytes() const = 0;  // of each token
  virtual int32_t find(std::string_view token) const = 0;     // -1: there is none
  virtual int32_t byte_token(uint8_t byte) const = 0;         // -1: there is none
};

// Of the kind that `data` names, which outlives it. Roles, and whether a token stands for a byte, are by id.
// Throws kCorruptFile for a vocabulary that contradicts itself.
std::unique_ptr<const Subwords> make_subwords(const TokenizerData& data, const std::vector<TokenRole>& roles,
                                              const std::vector<bool>& is_byte);

}  // namespace claa
