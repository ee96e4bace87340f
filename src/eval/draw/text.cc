#include "eval/draw/text.h"

#include <algorithm>

#include "core/usize.h"
#include "text/utf8.h"

namespace claa::eval {
namespace {

bool continues_character(char c) {
  return (c & 0xC0) == 0x80;
}

void escape_line(const std::string& line, std::string& escaped) {
  for (char c : line) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
}

}  // namespace

std::string clean_text(std::string_view text) {
  std::string clean = replace_invalid_utf8(text);
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  // U+FFFE and U+FFFF are well-formed UTF-8, but XML refuses them.
  for (size_t at = clean.find("\xEF\xBF"); at != std::string::npos; at = clean.find("\xEF\xBF", at + 3)) {
    if (clean[at + 2] == '\xBE' || clean[at + 2] == '\xBF') clean.replace(at, 3, kReplacementCharacter);
  }
  return clean;
}

size_t count_characters(std::string_view utf8) {
  return usize(std::count_if(utf8.begin(), utf8.end(), [](char c) { return !continues_character(c); }));
}

std::string shortened(std::string_view utf8, size_t most) {
  if (count_characters(utf8) <= most) return std::string(utf8);
  size_t end = 0;
  for (size_t count = 0; count < most; ++count) {
    do {
      ++end;
    } while (end < utf8.size() && continues_character(utf8[end]));
  }
  return std::string(utf8.substr(0, end)) + "\xE2\x80\xA6";
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (begin > 0) escaped += '\n';
    escape_line(clean_text(text.substr(begin, end - begin)), escaped);
    begin = end + 1;
  }
  return escaped;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of("\",\r\n") == std::string_view::npos) return std::string(text);
  std::string field = "\"";
  for (char c : text) {
    field += c;
    if (c == '"') field += c;
  }
  return field + "\"";
}

}  // namespace claa::eval
