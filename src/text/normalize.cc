#include "text/normalize.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/check.h"
#include "core/usize.h"

namespace claa {
namespace {

using Codepoints = std::vector<utf8proc_int32_t>;

bool is_ascii(char c) {
  return static_cast<uint8_t>(c) < 0x80;
}

// First byte of the UTF-8 of U+0300. All characters below it are starters that NFC leaves alone.
constexpr uint8_t kFirstByteOf0300 = 0xCC;

void append_decomposed(std::string_view text, Codepoints& out) {
  constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE);
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t pos = 0; pos < text.size();) {
    utf8proc_int32_t codepoint = -1;
    const auto size =
        utf8proc_iterate(bytes + pos, static_cast<utf8proc_ssize_t>(text.size() - pos), &codepoint);
    require(size > 0, "normalize_nfc needs valid UTF-8");
    pos += usize(size);
    utf8proc_int32_t parts[8];  // a canonical decomposition has at most 4 code points
    int last_boundclass = 0;
    const auto count = utf8proc_decompose_char(codepoint, parts, 8, kOptions, &last_boundclass);
    require(count > 0 && count <= 8, "canonical decomposition");
    out.insert(out.end(), parts, parts + count);
  }
}

// Canonical ordering: runs of combining marks sorted by class, equal classes in their order.
void order_marks(Codepoints& text) {
  const auto mark_class = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  const auto is_starter = [&](utf8proc_int32_t c) { return mark_class(c) == 0; };
  for (auto begin = text.begin(); begin != text.end();) {
    begin = std::find_if_not(begin, text.end(), is_starter);
    const auto end = std::find_if(begin, text.end(), is_starter);
    std::stable_sort(begin, end, [&](auto a, auto b) { return mark_class(a) < mark_class(b); });
    begin = end;
  }
}

void append_utf8(const Codepoints& text, std::string& out) {
  for (const utf8proc_int32_t c : text) {
    utf8proc_uint8_t bytes[4];
    const auto size = utf8proc_encode_char(c, bytes);
    out.append(reinterpret_cast<const char*>(bytes), usize(size));
  }
}

}  // namespace

bool may_need_nfc(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) >= kFirstByteOf0300; });
}

std::string normalize_nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  Codepoints codepoints;
  // Only stretches outside ASCII are rewritten, together with the one ASCII character before them, which may
  // take a mark. No ASCII character combines with what stands before it.
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = usize(std::find_if_not(text.begin() + pos, text.end(), is_ascii) - text.begin());
    const size_t end = usize(std::find_if(text.begin() + begin, text.end(), is_ascii) - text.begin());
    const size_t from = begin > pos && begin < text.size() ? begin - 1 : begin;
    const std::string_view stretch = text.substr(from, end - from);
    out.append(text, pos, from - pos);
    if (!may_need_nfc(stretch)) {
      out.append(stretch);
    } else {
      codepoints.clear();
      append_decomposed(stretch, codepoints);
      order_marks(codepoints);
      const auto count =
          utf8proc_normalize_utf32(codepoints.data(), static_cast<utf8proc_ssize_t>(codepoints.size()),
                                   static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
      require(count >= 0, "canonical composition");
      codepoints.resize(usize(count));
      append_utf8(codepoints, out);
    }
    pos = end;
  }
  return out;
}

}  // namespace claa
