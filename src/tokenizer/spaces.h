// U+2581, by which tokenizers of SentencePiece's kind write spaces.
#pragma once

#include <string>
#include <string_view>

namespace claa {

inline constexpr std::string_view kSpaceMark = "\xe2\x96\x81";

// Every `from` in `text` as `to`.
void replace_all(std::string_view text, std::string_view from, std::string_view to, std::string& out);

// The text with spaces in place of U+2581, from which this kind of tokenizer cannot tell them.
std::string with_plain_spaces(std::string_view text);

}  // namespace claa
