#include "tokenizer/byte_level.h"

#include <array>

namespace claa {
namespace {

// Printable Latin-1 characters stand for themselves; the other 68 bytes, in order, are U+0100, U+0101, ...
constexpr bool stands_for_itself(uint32_t c) {
  return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF);
}

constexpr uint32_t kAlphabetEnd = 0x144;

struct Alphabet {
  std::array<uint16_t, 256> character{};
  std::array<int16_t, kAlphabetEnd> byte{};
};

constexpr Alphabet make_alphabet() {
  Alphabet a;
  for (auto& byte : a.byte) byte = -1;
  uint16_t next = 0x100;
  for (uint16_t b = 0; b < 256; ++b) {
    a.character[b] = stands_for_itself(b) ? b : next++;
    a.byte[a.character[b]] = static_cast<int16_t>(b);
  }
  return a;
}

constexpr Alphabet kAlphabet = make_alphabet();
static_assert(kAlphabet.character[' '] == 0x120 && kAlphabet.character[0xAD] == kAlphabetEnd - 1);

}  // namespace

std::string byte_level_character(uint8_t byte) {
  const uint16_t c = kAlphabet.character[byte];
  if (c < 0x80) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
}

std::optional<std::string> byte_level_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t c = static_cast<uint8_t>(text[i]);
    if (c >= 0x80) {  // the alphabet ends below U+0800: a second byte, and never a third
      if (c < 0xC2 || c > 0xDF || ++i == text.size()) return std::nullopt;
      const uint32_t second = static_cast<uint8_t>(text[i]);
      if ((second & 0xC0) != 0x80) return std::nullopt;
      c = ((c & 0x1F) << 6) | (second & 0x3F);
    }
    if (c >= kAlphabetEnd || kAlphabet.byte[c] < 0) return std::nullopt;
    out.push_back(static_cast<char>(kAlphabet.byte[c]));
  }
  return out;
}

}  // namespace claa
