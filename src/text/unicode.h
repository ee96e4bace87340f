// Character classes and case mapping as Python's str has them, on UTF-8. Text may hold invalid bytes: each is
// then a character of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace claa {

struct CodePoint {
  int32_t value;  // -1: invalid byte
  size_t size;
};

// The character at `offset`, which must be inside `text`.
CodePoint decode_character(std::string_view text, size_t offset);
size_t count_characters(std::string_view text);
// Byte offset of character `index`, or the size of the text when it has fewer.
size_t character_offset(std::string_view text, size_t index);
void append_utf8(std::string& out, int32_t code);

bool is_space(int32_t code);           // str.isspace
bool is_blank(std::string_view text);  // nothing but spaces, or empty
bool is_line_break(int32_t code);      // str.splitlines
bool is_printable(int32_t code);       // true for characters that repr() shows unescaped
bool is_upper(int32_t code);
bool is_lower(int32_t code);
bool is_alpha(int32_t code);
bool is_digit(int32_t code);

enum class Case { kUpper, kLower, kTitle };
// Appends the mapped character (simple mapping, and German sharp s as Python does).
void append_case(std::string& out, int32_t code, Case mapping);

}  // namespace claa
