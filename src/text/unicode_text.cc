#include "text/unicode_text.h"

#include <utf8proc.h>

#include "text/unicode.h"
#include "text/utf8.h"

namespace claa {
namespace {

constexpr int32_t kCapitalSigma = 0x3a3;
constexpr int32_t kSmallSigma = 0x3c3;
constexpr int32_t kFinalSigma = 0x3c2;
constexpr int32_t kCapitalDottedI = 0x130;

// Case_Ignorable of the Unicode standard: five categories, and the marks that may stand inside a word.
bool is_case_ignorable(int32_t code) {
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      break;
  }
  for (int32_t mark : {0x27, 0x2e, 0x3a, 0xb7, 0x387, 0x55f, 0x5f4, 0x2018, 0x2019, 0x2024, 0x2027, 0xfe13,
                       0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a}) {
    if (code == mark) return true;
  }
  return false;
}

// Cased of the Unicode standard, of characters that are not case-ignorable: three categories, the ordinal
// indicators, Roman numerals, and enclosed letters.
bool is_cased(int32_t code) {
  const auto category = utf8proc_category(code);
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT) return true;
  const auto within = [code](int32_t first, int32_t last) { return code >= first && code <= last; };
  return code == 0xaa || code == 0xba || within(0x2160, 0x217f) || within(0x24b6, 0x24e9) ||
         within(0x1f130, 0x1f149) || within(0x1f150, 0x1f169) || within(0x1f170, 0x1f189);
}

// True if the first character from `offset` on that is not case-ignorable is cased.
bool cased_follows(std::string_view text, size_t offset) {
  while (offset < text.size()) {
    const CodePoint next = decode_character(text, offset);
    if (!is_case_ignorable(next.value)) return is_cased(next.value);
    offset += next.size;
  }
  return false;
}

}  // namespace

std::string lower_case(std::string_view utf8) {
  const std::string text = replace_invalid_utf8(utf8);
  std::string lower;
  lower.reserve(text.size());
  bool after_cased = false;  // the last character that is not case-ignorable is cased
  for (size_t offset = 0; offset < text.size();) {
    const CodePoint c = decode_character(text, offset);
    offset += c.size;
    if (c.value == kCapitalSigma) {
      const bool final = after_cased && !cased_follows(text, offset);
      append_utf8(lower, final ? kFinalSigma : kSmallSigma);
    } else if (c.value == kCapitalDottedI) {
      lower += "i\xCC\x87";  // i and a combining dot above
    } else {
      append_utf8(lower, utf8proc_tolower(c.value));
    }
    if (!is_case_ignorable(c.value)) after_cased = is_cased(c.value);
  }
  return lower;
}

bool is_word_character(int32_t code) {
  if (code == '_') return true;
  const auto category = utf8proc_category(code);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

}  // namespace claa
