// Text: a string that knows, byte by byte, where it came from. Every string of a template is one, so that
// control tokens in a user's message never pass for the template's own, and so that it can be seen what of a
// message has arrived in the prompt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace claa::jinja {

// The template itself, or a caller's data; the contents of messages and their tool calls have numbers of
// their own.
using Origin = uint32_t;
inline constexpr Origin kFromTemplate = 0;
inline constexpr Origin kFromCaller = 1;    // data that are no message's content
inline constexpr Origin kFromMessages = 2;  // here and above are two for each message
constexpr Origin origin_of_content(size_t message) {
  return kFromMessages + 2 * static_cast<Origin>(message);
}
constexpr Origin origin_of_calls(size_t message) {
  return origin_of_content(message) + 1;
}
constexpr size_t message_of(Origin origin) {
  return (origin - kFromMessages) / 2;
}

class Text {
 public:
  // Bytes from the previous run's end up to `end` have one origin.
  struct Run {
    size_t end;
    Origin origin;
  };

  Text() = default;
  Text(std::string bytes, Origin origin);

  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }

  void append(std::string_view bytes, Origin origin);
  void append(const Text& other, size_t begin, size_t end);  // `other` must not be this text
  void append(const Text& other) { append(other, 0, other.size()); }
  Text slice(size_t begin, size_t end) const;

 private:
  std::string bytes_;
  std::vector<Run> runs_;
};

// One character of a text; `code` is -1 for a byte that is not valid UTF-8 (it then stands for itself).
struct Char {
  std::string_view bytes;
  int32_t code = -1;
  size_t offset = 0;
  Origin origin = kFromTemplate;
};

// Walks the characters of a text in order.
class CharReader {
 public:
  explicit CharReader(const Text& text) : text_(text) {}
  bool next(Char& out);

 private:
  const Text& text_;
  size_t offset_ = 0;
  size_t run_ = 0;
};

}  // namespace claa::jinja
