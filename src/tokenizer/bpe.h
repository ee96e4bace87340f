// Byte-pair encoding of one word: starting from single bytes, the adjacent pair with the lowest merge rank
// (the leftmost one of equal rank) is joined until no pair can be joined.
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/flat_index.h"

namespace claa {

// How a token may arise.
enum class TokenRole : uint8_t {
  kNormal,       // spelled in the byte-level alphabet; the result of merging
  kUserDefined,  // stands in the text as it is; merging may also give it
  kControl,      // never comes out of merging: a user's text must not become one, whatever the file says
};

class BpeModel {
 public:
  struct Options {
    // A word that is a token as a whole becomes that token, regardless of the merges (Llama 3).
    bool ignore_merges = false;
    // Merging starts from characters, and spaces are U+2581 in the vocabulary. A character without a token
    // becomes the tokens of its bytes, named like "<0x41>", or else `unknown`.
    bool characters = false;
    bool byte_fallback = false;
    bool fuse_unknown = false;         // neighbouring unknown characters are one
    int32_t unknown = -1;              // -1: they are left out
    std::string source = "tokenizer";  // begins what is thrown: the name of a file
  };

  // `tokens` and `roles` are indexed by id; `merges` holds "left right" in order of rank. Throws kCorruptFile
  // for duplicate tokens and malformed merges.
  BpeModel(const std::vector<std::string>& tokens, const std::vector<TokenRole>& roles,
           const std::vector<std::string>& merges, Options options);

  // Memory that one thread reuses from word to word.
  struct Scratch {
    struct Symbol {
      int32_t id;
      uint32_t next;  // index of the neighbours; kNone at the ends
      uint32_t previous;
    };
    struct Candidate {
      uint32_t rank;
      uint32_t position;  // of the left symbol
      int32_t left;
      int32_t right;
      int32_t result;
    };
    std::vector<int32_t> ids;
    std::vector<Merge> merges;
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // Appends the tokens of a word. A byte that has no token is left out before merging, as the `tokenizers`
  // package does for a model without an unknown token (SmolLM2 has none for some control characters).
  void encode_word(std::string_view word, std::vector<int32_t>& out, Scratch& scratch) const;

  // Bytes of each token after decoding the alphabet; for other tokens their text.
  const std::vector<std::string>& bytes() const { return bytes_; }
  // Id by vocabulary text; -1 when absent.
  int32_t find(const std::vector<std::string>& tokens, std::string_view text) const {
    return by_text_.find(tokens, text);
  }
  int32_t byte_token(uint8_t byte) const { return byte_ids_[byte]; }
  // The end of the word that begins at `begin` of a text: before a space that no merge joins to what is
  // before it. Words are encoded one by one then, as if they were one.
  size_t word_end(std::string_view text, size_t begin) const;

 private:
  enum WordState : uint8_t { kUnknown, kOneToken, kSeveralTokens };

  void index_tokens(const std::vector<std::string>& tokens, const std::vector<TokenRole>& roles,
                    std::string_view source);
  void index_merges(const std::vector<std::string>& tokens, const std::vector<TokenRole>& roles,
                    const std::vector<std::string>& merges, std::string_view source);
  std::optional<std::string> decoded(const std::string& token, TokenRole role);
  void start_from_characters(std::string_view word, Scratch& scratch) const;
  void merge_all(Scratch& scratch) const;
  void merge_short(Scratch& scratch) const;
  void merge_long(Scratch& scratch) const;
  void push_candidate(Scratch& scratch, uint32_t position) const;

  Options options_;
  std::vector<std::string> bytes_;
  std::array<int32_t, 256> byte_ids_;
  StringIndex by_text_;
  StringIndex by_bytes_;  // normal tokens only
  MergeIndex merges_;
  std::bitset<256> joins_space_;  // bytes before a space that some merge joins
  // True where merging the bytes of a token gives that same token, found when the word first occurs. Most
  // words of real text are one token, and this makes them one lookup.
  std::unique_ptr<std::atomic<uint8_t>[]> word_states_;
};

}  // namespace claa
