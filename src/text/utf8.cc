#include "text/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace claa {
namespace {

// The well-formed sequences of the Unicode standard (table 3-7): total length by first byte, and the range of
// the second byte, which excludes overlong forms, surrogates and code points above U+10FFFF. Later bytes
// are 80..BF.
struct Lead {
  size_t size;
  uint8_t second_min;
  uint8_t second_max;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0xC2) return {0, 0, 0};  // a continuation byte, or C0/C1 which only begin overlong forms
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

size_t ascii_prefix(std::string_view bytes) {
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t block;
    std::memcpy(&block, bytes.data() + i, 8);
    if ((block & 0x8080808080808080ull) != 0) break;
  }
  while (i < bytes.size() && static_cast<uint8_t>(bytes[i]) < 0x80) ++i;
  return i;
}

// Appends `bytes` with ill-formed sequences replaced; stops at a character that is cut off and returns its
// offset.
size_t append_valid(std::string_view bytes, std::string& out) {
  size_t pos = 0;
  while (pos < bytes.size()) {
    const size_t valid = valid_utf8_prefix(bytes.substr(pos));
    out.append(bytes, pos, valid);
    pos += valid;
    if (pos == bytes.size()) break;
    const Utf8Unit unit = next_utf8_unit(bytes.substr(pos));
    if (unit.kind == Utf8Unit::Kind::kTruncated) break;
    out.append(kReplacementCharacter);
    pos += unit.size;
  }
  return pos;
}

}  // namespace

Utf8Unit next_utf8_unit(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  if (at(0) < 0x80) return {Utf8Unit::Kind::kCharacter, 1};
  const Lead lead = lead_of(at(0));
  if (lead.size == 0) return {Utf8Unit::Kind::kInvalid, 1};
  const size_t available = std::min(lead.size, bytes.size());
  for (size_t i = 1; i < available; ++i) {
    const uint8_t low = i == 1 ? lead.second_min : 0x80;
    const uint8_t high = i == 1 ? lead.second_max : 0xBF;
    if (at(i) < low || at(i) > high) return {Utf8Unit::Kind::kInvalid, i};
  }
  return {available == lead.size ? Utf8Unit::Kind::kCharacter : Utf8Unit::Kind::kTruncated, available};
}

size_t valid_utf8_prefix(std::string_view bytes) {
  size_t pos = 0;
  while (true) {
    pos += ascii_prefix(bytes.substr(pos));
    if (pos == bytes.size()) return pos;
    const Utf8Unit unit = next_utf8_unit(bytes.substr(pos));
    if (unit.kind != Utf8Unit::Kind::kCharacter) return pos;
    pos += unit.size;
  }
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 8);
  if (append_valid(bytes, out) != bytes.size()) out.append(kReplacementCharacter);
  return out;
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_.append(bytes);
  std::string out;
  pending_.erase(0, append_valid(pending_, out));
  return out;
}

std::string Utf8Stream::flush() {
  std::string out;
  if (!pending_.empty()) out = kReplacementCharacter;  // one cut-off character, hence one replacement
  pending_.clear();
  return out;
}

}  // namespace claa
