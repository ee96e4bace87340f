// The byte-level alphabet of GPT-2: vocabularies spell each byte as one printable character (space is "Ġ",
// newline "Ċ"), so that tokens and merges are plain text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace claa {

// UTF-8 of the character that stands for a byte.
std::string byte_level_character(uint8_t byte);

// "Ġthe" -> " the". nullopt when the text holds a character outside the alphabet.
std::optional<std::string> byte_level_decode(std::string_view text);

}  // namespace claa
