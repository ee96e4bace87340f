#include "text/unicode.h"

#include <utf8proc.h>

#include "core/usize.h"

namespace claa {

CodePoint decode_character(std::string_view text, size_t offset) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + offset;
  if (*bytes < 0x80) return {*bytes, 1};
  utf8proc_int32_t code = -1;
  const utf8proc_ssize_t left = static_cast<utf8proc_ssize_t>(text.size() - offset);
  const utf8proc_ssize_t size = utf8proc_iterate(bytes, left < 4 ? left : 4, &code);
  if (size <= 0) return {-1, 1};
  return {code, usize(size)};
}

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (size_t offset = 0; offset < text.size(); ++count) offset += decode_character(text, offset).size;
  return count;
}

size_t character_offset(std::string_view text, size_t index) {
  size_t offset = 0;
  for (; index > 0 && offset < text.size(); --index) offset += decode_character(text, offset).size;
  return offset;
}

void append_utf8(std::string& out, int32_t code) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t size = utf8proc_encode_char(code, bytes);
  out.append(reinterpret_cast<const char*>(bytes), usize(size));
}

bool is_space(int32_t code) {
  if (code < 0x80) return (code >= 9 && code <= 13) || (code >= 0x1c && code <= 0x20);
  return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
         code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

bool is_blank(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_character(text, at);
    if (!is_space(point.value)) return false;
    at += point.size;
  }
  return true;
}

bool is_line_break(int32_t code) {
  return (code >= 10 && code <= 13) || (code >= 0x1c && code <= 0x1e) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

bool is_printable(int32_t code) {
  if (code < 0) return false;
  if (code < 0x7f) return code >= 0x20;
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

bool is_upper(int32_t code) {
  return code >= 0 &&
         (utf8proc_category(code) == UTF8PROC_CATEGORY_LU || utf8proc_category(code) == UTF8PROC_CATEGORY_LT);
}

bool is_lower(int32_t code) {
  return code >= 0 && utf8proc_category(code) == UTF8PROC_CATEGORY_LL;
}

bool is_alpha(int32_t code) {
  if (code < 0) return false;
  const auto category = utf8proc_category(code);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_digit(int32_t code) {
  return code >= 0 && utf8proc_category(code) == UTF8PROC_CATEGORY_ND;
}

void append_case(std::string& out, int32_t code, Case mapping) {
  constexpr int32_t kSharpS = 0xdf;
  if (mapping == Case::kLower) return append_utf8(out, utf8proc_tolower(code));
  if (code == kSharpS) {
    out += mapping == Case::kUpper ? "SS" : "Ss";
    return;
  }
  append_utf8(out, mapping == Case::kUpper ? utf8proc_toupper(code) : utf8proc_totitle(code));
}

}  // namespace claa
