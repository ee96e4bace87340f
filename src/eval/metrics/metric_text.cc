#include "eval/metrics/metric_text.h"

#include <algorithm>

#include "text/unicode.h"

namespace claa::eval {

std::vector<std::string_view> split_words(std::string_view utf8) {
  std::vector<std::string_view> words;
  size_t begin = 0;
  for (size_t offset = 0; offset < utf8.size();) {
    const CodePoint c = decode_character(utf8, offset);
    if (is_space(c.value)) {
      if (offset > begin) words.push_back(utf8.substr(begin, offset - begin));
      begin = offset + c.size;
    }
    offset += c.size;
  }
  if (utf8.size() > begin) words.push_back(utf8.substr(begin));
  return words;
}

bool is_ascii_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

std::string_view without_leading_newlines(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of('\n'), text.size()));
}

}  // namespace claa::eval
