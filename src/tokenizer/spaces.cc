#include "tokenizer/spaces.h"

#include <algorithm>

namespace claa {

void replace_all(std::string_view text, std::string_view from, std::string_view to, std::string& out) {
  out.clear();
  for (size_t at = 0; at < text.size();) {
    const size_t found = std::min(text.find(from, at), text.size());
    out.append(text.substr(at, found - at));
    if (found == text.size()) break;
    out.append(to);
    at = found + from.size();
  }
}

std::string with_plain_spaces(std::string_view text) {
  std::string plain;
  replace_all(text, kSpaceMark, " ", plain);
  return plain;
}

}  // namespace claa
