// Pre-tokenisation: cuts text into the words inside which byte pairs are merged.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace claa {

// kDbrx has the pattern of kLlama3.
enum class PreKind {
  kGpt2,
  kSmolLm,
  kLlama3,
  kDbrx,
  kQwen2,
  kQwen35,
  kTekken,
  kGpt4o,
  kSeedCoder,
  kDeepSeek3,
  kFalcon
};

// Whether a word that is a token as a whole becomes that token, regardless of the merges.
bool ignores_merges(PreKind kind);
// Whether text is brought into normalisation form C first.
bool normalizes(PreKind kind);

// The kind named by tokenizer.ggml.pre. nullopt when the name is unknown.
std::optional<PreKind> pre_kind_from_name(std::string_view name);
// The names pre_kind_from_name() knows, for messages.
std::string known_pre_names();

// Compiled patterns, each of which cuts the pieces of the one before; immutable, shared by all threads.
//
// Character classes are those of the installed PCRE2 (10.42: Unicode 14). The Python tokenizers know later
// versions, so letters and digits added to Unicode since (9,272 letters, 133 numbers in `tokenizers` 0.23.3)
// may be cut differently. No character of Unicode 14 is.
class PreTokenizer {
  struct Stage;

 public:
  explicit PreTokenizer(PreKind kind, bool use_jit = true);
  ~PreTokenizer();
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  // The words of one text, in order; together they are the whole text. Holds the text, does not copy it. With
  // Falcon a word may be part of a character.
  class Words {
   public:
    Words(const PreTokenizer& pattern, std::string_view valid_utf8);
    ~Words();
    Words(const Words&) = delete;
    Words& operator=(const Words&) = delete;
    // Returns an empty view at the end.
    std::string_view next();

   private:
    struct Match;
    // What a stage has to cut: `before` bytes that its pattern does not find, then `found` that it does; both
    // are zero until it has looked.
    struct Piece {
      std::string_view rest;
      size_t before = 0, found = 0;
    };
    std::string_view next_of(size_t stage);
    void find(size_t stage);

    std::span<const Stage> stages_;
    std::vector<Piece> pieces_;  // of every stage
    std::unique_ptr<Match> match_;
  };

  std::vector<std::string_view> split(std::string_view valid_utf8) const;
  bool has_jit() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace claa
