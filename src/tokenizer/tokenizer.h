// Tokenizer: BPE of bytes or characters, or SentencePiece's, as a model file describes it. Its ids equal
// those of the Python packages `tokenizers` and `sentencepiece` built from the same vocabulary (checked by
// tests/tokenizer and tools/compare_tokenizers.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/utf8.h"

namespace claa {

namespace gguf {
class File;
}

// The numbers are those of tokenizer.ggml.token_type.
enum class TokenType : int32_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

// Before which texts a space is put, in tokenizers of characters.
enum class SpacePrefix { kNever, kAlways, kAlwaysUnlessThere, kFirstUnlessThere };

struct TokenizerData {  // contents of a model file
  // "gpt2" is byte-level BPE, "llama" SentencePiece's BPE, "bpe" that of characters by merges, from a
  // tokenizer.json, and "gemma4" the same with the steps of Gemma 4
  std::string model;
  std::string pre;  // of "gpt2", the pre-tokenizer: "smollm", "gpt-2", "llama-bpe", "qwen2" and aliases
  std::vector<std::string> tokens;   // by id; of "gpt2" in the byte-level alphabet, of "llama" with U+2581
  std::vector<int32_t> token_types;  // empty: all normal, except those named by the ids below
  std::vector<std::string> merges;   // of "gpt2": "left right", in order of rank
  std::vector<float> scores;         // of "llama": one per token; the highest is joined first
  bool add_space_prefix = false;     // of "llama": a space before a text and after a control token
  // Where `pre` is "tokenizer.json": what that file says of the text before merging, and of "bpe".
  std::vector<std::string> expressions;  // each cuts the pieces of one before it
  bool nfc = false, ignore_merges = false;
  SpacePrefix space_prefix = SpacePrefix::kNever;
  bool cut_at_spaces = false, byte_fallback = false, fuse_unknown = false;
  std::vector<int32_t> strip_left, strip_right;  // added tokens that take the white space beside them
  int32_t bos = -1, eos = -1, eot = -1, eom = -1, unknown = -1, padding = -1;  // -1: the model has none
  std::vector<int32_t> turn_ends;  // tokens after an answer, by the chat template or the model's settings
  bool add_bos = false, add_eos = false;  // what a caller should add around a prompt; encode() never does
  std::string chat_template;              // empty when the file has none
  std::string source = "tokenizer";       // begins what is thrown: the name of the file
};

// Reads the tokenizer.* keys. Throws kCorruptFile naming the key when a value is missing, has the wrong type,
// or does not fit the others (counts, ids out of range); kUnsupported for another kind of tokenizer.
TokenizerData read_tokenizer_data(const gguf::File& file);

// A stretch of a prompt. special: control tokens in it are recognised (text of a template); otherwise it is a
// user's text, in which "<|im_end|>" is only ten characters.
struct Span {
  std::string_view text;
  bool special;
};

// Immutable; all methods may be called from many threads at once.
//
// Text is UTF-8. Ill-formed sequences are replaced by U+FFFD before anything else, as Python's
// decode(errors="replace") does. User-defined tokens (type 4) are recognised in every text, as in the Python
// package: they are vocabulary, like
// "<tool_call>", not control. Where two added tokens could begin, the longest wins.
class Tokenizer {
 public:
  // Throws kUnsupported for a model or pre-tokenizer that is not known, kCorruptFile for data that contradict
  // themselves: counts, ids out of range, duplicate tokens, malformed merges.
  explicit Tokenizer(TokenizerData data);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Encodes a user's text: control tokens are never recognised, and no id of a control token is ever
  // returned.
  std::vector<int32_t> encode(std::string_view text) const;

  // The ids of the joined text: words may cross the borders of spans. A control token is recognised only
  // where it lies within special text as a whole (one special span or several that touch).
  std::vector<int32_t> encode(std::span<const Span> spans) const;

  // The bytes of consecutive tokens, not always valid UTF-8 (Utf8Stream helps). Control tokens are left out
  // unless keep_special. Throws kInvalidArgument for an id outside the vocabulary, as do the methods below.
  std::string decode(std::span<const int32_t> ids, bool keep_special = false) const;
  std::string_view token_bytes(int32_t id) const;

  // True for control, unknown and unused tokens, which are not text.
  bool is_special(int32_t id) const;
  // True if generation ends here: eos, eot, eom, those in turn_ends, and control tokens with well-known names
  // like "<|im_end|>".
  bool is_end_of_generation(int32_t id) const;

  // Whether the name of a control token stands in `text`.
  bool names_control(std::string_view text) const;

  int32_t vocab_size() const;
  // Looks a token up by its spelling in the vocabulary ("Ġthe", "<|im_end|>").
  std::optional<int32_t> find(std::string_view token) const;
  // Bytes for which the vocabulary has no token; encode() leaves them out, as the Python package does. Empty
  // for most models; SmolLM2 lacks six control characters and lead bytes of unassigned characters.
  std::vector<uint8_t> missing_bytes() const;
  const TokenizerData& data() const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace claa
