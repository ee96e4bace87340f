// Text helpers of the metrics: words, and the characters of ASCII punctuation.
#pragma once

#include <string_view>
#include <vector>

namespace claa::eval {

// Python's str.split(): splits at every white space of Unicode, without empty words. The parts point into
// `utf8`.
std::vector<std::string_view> split_words(std::string_view utf8);

// Python's string.punctuation.
bool is_ascii_punctuation(char c);

// The text without line feeds at its start; other white space stays.
std::string_view without_leading_newlines(std::string_view text);

}  // namespace claa::eval
