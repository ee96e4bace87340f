// UTF-8 at the two ends of the tokenizer: incoming text is made valid, and outgoing token bytes are cut at
// whole characters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace claa {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// The unit at the start of a byte string: a whole character, the beginning of a character that the string
// cuts off, or an ill-formed sequence (the "maximal subpart" of the Unicode standard: the longest prefix that
// could begin a character, or one byte).
struct Utf8Unit {
  enum class Kind { kCharacter, kTruncated, kInvalid };
  Kind kind;
  size_t size;  // bytes, at least 1
};
Utf8Unit next_utf8_unit(std::string_view bytes);  // bytes must not be empty

// Length of the longest valid prefix; equals bytes.size() when all of it is valid.
size_t valid_utf8_prefix(std::string_view bytes);

// Every ill-formed sequence replaced by U+FFFD, as Python's bytes.decode("utf-8", errors="replace") does.
std::string replace_invalid_utf8(std::string_view bytes);

// Turns a stream of byte fragments (tokens end anywhere, also inside a character) into a stream of valid
// UTF-8.
class Utf8Stream {
 public:
  // Takes the next bytes and returns what is certain now: all whole characters, ill-formed sequences as
  // U+FFFD. At most three bytes stay behind until the rest of their character arrives.
  std::string push(std::string_view bytes);
  // Ends the stream: returns what stayed behind, as U+FFFD. The object can be used again.
  std::string flush();

 private:
  std::string pending_;
};

}  // namespace claa
