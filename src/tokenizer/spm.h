// SentencePiece's byte-pair encoding, as Gemma, Llama 2 and Phi-3 use it: spaces become U+2581, and from
// single characters on the adjacent pair whose joined text is the token with the highest score is joined, the
// leftmost of equal ones first, until no pair is a token. A character without a token becomes tokens of its
// bytes.
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/bpe.h"
#include "tokenizer/flat_index.h"

namespace claa {

class SpmModel {
 public:
  // Tokens, roles and scores are indexed by id. `unknown` stands for a byte that has no token, -1: it is left
  // out. Throws kCorruptFile for duplicate tokens, byte tokens that are not spelled like "<0x41>", and scores
  // that are no numbers.
  SpmModel(const std::vector<std::string>& tokens, const std::vector<TokenRole>& roles,
           const std::vector<bool>& is_byte, const std::vector<float>& scores, int32_t unknown,
           const std::string& source);

  // Memory that one thread reuses from text to text.
  struct Scratch {
    struct Symbol {
      uint32_t begin, length;   // in the text; a length of 0: joined to the one before
      uint32_t next, previous;  // index of the neighbours; kNoSymbol at the ends
    };
    struct Candidate {
      float score;
      uint32_t left, length;  // symbol, and bytes of the joined text
    };
    std::string spelled;
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // Appends the tokens of a text in UTF-8, which holds no added token.
  void encode(std::string_view text, std::vector<int32_t>& out, Scratch& scratch) const;

  // What each token stands for: U+2581 as a space, byte tokens as their byte, others as they are.
  const std::vector<std::string>& bytes() const { return bytes_; }
  // Id by vocabulary text; -1 when absent.
  int32_t find(std::string_view text) const { return by_text_.find(tokens_, text); }
  int32_t byte_token(uint8_t byte) const { return byte_ids_[byte]; }

 private:
  void index(const std::vector<TokenRole>& roles, const std::vector<bool>& is_byte);
  enum WordState : uint8_t { kUnknown, kOneToken, kSeveralTokens };

  void encode_word(std::string_view word, std::vector<int32_t>& out, Scratch& scratch) const;
  void join(std::string_view word, Scratch& scratch) const;
  void split(std::string_view word, Scratch& scratch) const;
  void offer(std::string_view word, uint32_t left, Scratch& scratch) const;
  void append(std::string_view piece, std::vector<int32_t>& out) const;

  const std::vector<std::string>& tokens_;  // outlive this
  const std::vector<float>& scores_;
  std::string source_;
  int32_t unknown_;
  std::vector<std::string> bytes_;
  std::array<int32_t, 256> byte_ids_;
  StringIndex by_text_;
  StringIndex mergeable_;  // what may come out of joining
  // Bytes that some token has before a space inside it. Before all other spaces a text may be cut, as no pair
  // joins there, and words are encoded one by one.
  std::bitset<256> joins_space_;
  // Whether joining the characters of a token gives that same token, found when the word first occurs. Most
  // words of real text are one token, and this makes them one lookup.
  std::unique_ptr<std::atomic<uint8_t>[]> word_states_;
};

}  // namespace claa
