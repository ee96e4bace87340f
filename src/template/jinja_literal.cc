#include "template/jinja_literal.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/unicode.h"

namespace claa::jinja {
namespace {

bool is_decimal(char c) {
  return c >= '0' && c <= '9';
}

int digit_value(char c) {
  if (is_decimal(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

// Length of digits of `base` with single underscores between them.
size_t scan_digits(std::string_view text, int base = 10) {
  size_t size = 0;
  while (size < text.size()) {
    if (digit_value(text[size]) < base) {
      ++size;
    } else if (size > 0 && text[size] == '_' && size + 1 < text.size() &&
               digit_value(text[size + 1]) < base) {
      size += 2;
    } else {
      break;
    }
  }
  return size;
}

int prefix_base(std::string_view text) {
  if (text.size() < 3 || text[0] != '0') return 10;
  const char letter = static_cast<char>(text[1] | 0x20);
  return letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
}

// Reads up to `count` digits of `base` at `text`; sets `read` to their number.
int32_t escape_code(std::string_view text, size_t count, int base, size_t& read) {
  int64_t code = 0;
  for (read = 0; read < count && read < text.size() && digit_value(text[read]) < base; ++read) {
    code = code * base + digit_value(text[read]);
  }
  return static_cast<int32_t>(std::min<int64_t>(code, 0x110000));
}

// Reads one escape after its backslash; returns the number of characters read.
size_t append_escape(std::string_view text, std::string& out, const Context& context) {
  static constexpr std::string_view kLetters = "\\'\"abfnrtv";
  static constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
  const char c = text[0];
  if (const size_t simple = kLetters.find(c); simple != std::string_view::npos) {
    out += kMeanings[simple];
    return 1;
  }
  if (c == '\n') return 1;
  size_t read = 0;
  if (c >= '0' && c <= '7') {
    append_utf8(out, escape_code(text, 3, 8, read));
    return read;
  }
  const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (c == 'N') context.fail("character names (\\N) are not supported in a string");
  if (digits == 0) {
    out += '\\';
    return 0;
  }
  const int32_t code = escape_code(text.substr(1), digits, 16, read);
  if (read != digits || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
    context.fail("invalid escape \\{} in a string", c);
  }
  append_utf8(out, code);
  return 1 + digits;
}

}  // namespace

NumberLiteral scan_number(std::string_view text) {
  const int base = prefix_base(text);
  size_t size = 0;
  bool is_float = false;
  if (base != 10) size = scan_digits(text.substr(2), base);
  if (size > 0) {
    size += 2;
  } else {
    size = scan_digits(text);
    if (size + 1 < text.size() && text[size] == '.' && is_decimal(text[size + 1])) {
      is_float = true;
      size += 1 + scan_digits(text.substr(size + 1));
    }
    if (size < text.size() && (text[size] == 'e' || text[size] == 'E')) {
      const size_t sign = size + 1 < text.size() && (text[size + 1] == '+' || text[size + 1] == '-') ? 1 : 0;
      const size_t exponent = scan_digits(text.substr(std::min(text.size(), size + 1 + sign)));
      if (exponent > 0) {
        is_float = true;
        size += 1 + sign + exponent;
      }
    }
  }
  std::string digits(text.substr(0, size));
  std::erase(digits, '_');
  return {size, is_float, std::move(digits)};
}

Value parse_integer(std::string_view digits, const Context& context) {
  const int base = prefix_base(digits);
  const std::string_view bare = base == 10 ? digits : digits.substr(2);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(bare.data(), bare.data() + bare.size(), value, base);
  if (error != std::errc() || end != bare.data() + bare.size())
    context.fail("the integer {} is out of range", digits);
  return Value(value);
}

Value parse_float(std::string_view digits, const Context& context) {
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::invalid_argument) context.fail("invalid number {}", digits);
  // Out of range: Python rounds to infinity or to zero, and only a negative exponent can be too small.
  if (error == std::errc::result_out_of_range)
    value = digits.find('-') == std::string_view::npos ? HUGE_VAL : 0.0;
  return Value(value);
}

std::string unescape(std::string_view quoted, const Context& context) {
  std::string result;
  result.reserve(quoted.size());
  for (size_t i = 0; i < quoted.size(); ++i) {
    if (quoted[i] != '\\' || i + 1 == quoted.size()) {
      result += quoted[i];
    } else {
      i += append_escape(quoted.substr(i + 1), result, context);
    }
  }
  return result;
}

std::string describe_character(std::string_view text) {
  const CodePoint point = decode_character(text, 0);
  if (is_printable(point.value)) return fmt::format("'{}'", text.substr(0, point.size));
  return fmt::format("with byte value {}", static_cast<unsigned>(static_cast<unsigned char>(text[0])));
}

}  // namespace claa::jinja
