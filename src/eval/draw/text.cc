#include "eval/draw/text.h"

#include <algorithm>

#include "core/usize.h"

namespace claa::eval {
namespace {

bool continues_character(char c) {
  return (c & 0xC0) == 0x80;
}

}  // namespace

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

}  // namespace claa::eval
