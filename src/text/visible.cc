#include "text/visible.h"

#include <fmt/format.h>

#include "text/unicode.h"
#include "text/utf8.h"

namespace claa {
namespace {

constexpr int32_t kDelete = 0x7F;

// U+FFFE and U+FFFF are well-formed UTF-8, but XML refuses them.
bool is_refused_by_xml(int32_t code) {
  return code == 0xFFFE || code == 0xFFFF;
}

void append_shown(int32_t code, std::string& out) {
  constexpr int32_t kPictures = 0x2400, kPictureOfDelete = 0x2421;
  if (code < 0x20) {
    claa::append_utf8(out, kPictures + code);
  } else if (code == kDelete) {
    claa::append_utf8(out, kPictureOfDelete);
  } else {
    out += fmt::format("\\u{{{:x}}}", code);
  }
}

std::string visible(std::string_view bytes, std::string_view standing) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Unit unit = next_utf8_unit(bytes.substr(at));
    const bool character = unit.kind == Utf8Unit::Kind::kCharacter;
    const int32_t code = character ? decode_character(bytes, at).value : -1;
    if (!character || is_refused_by_xml(code)) {
      out += kReplacementCharacter;
    } else if (is_display_control(code) && standing.find(bytes[at]) == std::string_view::npos) {
      append_shown(code, out);
    } else {
      out += bytes.substr(at, unit.size);
    }
    at += unit.size;
  }
  return out;
}

}  // namespace

bool is_display_control(int32_t code) {
  return (code >= 0 && code < 0x20) || (code >= kDelete && code < 0xA0) ||
         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

std::string visible_text(std::string_view bytes) {
  return visible(bytes, "\n\t");
}

std::string visible_line(std::string_view bytes) {
  return visible(bytes, "");
}

std::string visible_bytes(std::string_view bytes, size_t most) {
  std::string out;
  for (const char c : bytes.substr(0, most)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte >= 0x7F ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return bytes.size() > most ? out + "..." : out;
}

}  // namespace claa
