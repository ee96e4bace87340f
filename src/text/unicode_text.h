// Python's str and re on whole texts and words, for UTF-8. The tables are those of the linked utf8proc (2.8:
// Unicode 15.0); Python 3.11 has Unicode 14.0, and the only difference is the characters new in 15.0.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace claa {

// str.lower(): simple mappings, U+0130 as two characters, and a capital sigma that ends a word as the final
// form. Ill-formed bytes become U+FFFD.
std::string lower_case(std::string_view utf8);

// Matches \w of re: letters, numbers of every kind, and the low line, but not combining marks.
bool is_word_character(int32_t code);

}  // namespace claa
