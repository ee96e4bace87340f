#include "output/json.h"

#include <fmt/format.h>

#include <cmath>

#include "text/unicode.h"
#include "text/utf8.h"
#include "text/visible.h"

namespace claa {
namespace {

namespace json = boost::json;

void make_finite(json::value& value) {
  if (value.is_double()) {
    if (!std::isfinite(value.get_double())) value = nullptr;
  } else if (value.is_array()) {
    for (json::value& item : value.get_array()) make_finite(item);
  } else if (value.is_object()) {
    for (auto& member : value.get_object()) make_finite(member.value());
  }
}

}  // namespace

std::string json_text(json::value value) {
  make_finite(value);
  const std::string bytes = json::serialize(value);
  std::string out;
  out.reserve(bytes.size());
  // JSON is ASCII outside of its strings, and printable, so that whatever is replaced here stands in one.
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Unit unit = next_utf8_unit(std::string_view(bytes).substr(at));
    const bool character = unit.kind == Utf8Unit::Kind::kCharacter;
    const int32_t code = character ? decode_character(bytes, at).value : -1;
    if (!character) {
      out += kReplacementCharacter;
    } else if (is_display_control(code)) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      out.append(bytes, at, unit.size);
    }
    at += unit.size;
  }
  return out;
}

}  // namespace claa
