// Literals of the template language: numbers and string escapes, as Python reads them.
#pragma once

#include <string>
#include <string_view>

#include "template/jinja_context.h"

namespace claa::jinja {

struct NumberLiteral {
  size_t size;  // characters of the source
  bool is_float;
  std::string digits;  // without underscores; an integer keeps its 0x, 0o or 0b
};

// `text` starts with a digit.
NumberLiteral scan_number(std::string_view text);
Value parse_integer(std::string_view digits, const Context& context);
Value parse_float(std::string_view digits, const Context& context);

// The value of a string between its quotes.
std::string unescape(std::string_view quoted, const Context& context);

// The first character of `text`, printable, for an error.
std::string describe_character(std::string_view text);

}  // namespace claa::jinja
