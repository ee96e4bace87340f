// `pattern % values` and pattern.format(values): the common part of Python's formatting. Widths are checked
// before they are filled.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/usize.h"
#include "template/jinja_access.h"
#include "template/jinja_operators.h"
#include "template/jinja_print.h"
#include "text/unicode.h"

namespace claa::jinja {
namespace {

constexpr int64_t kMaxPrecision = 100;
constexpr int64_t kMaxWidth = 1'000'000;

struct Spec {
  char align = '\0';  // '<', '>' or '^'; none: numbers to the right, text to the left
  char fill = ' ';
  char sign = '-';
  bool alternate = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = '\0';
  // Where the field came from. What is made from a caller's field is the caller's, even fill and sign.
  Origin origin = kFromTemplate;
};

// The template, where all of the part is its own; else the caller's data that come first.
Origin origin_of(const Text& text, size_t begin, size_t end) {
  const Text part = text.slice(begin, end);
  const auto data = std::find_if(part.runs().begin(), part.runs().end(),
                                 [](const Text::Run& run) { return run.origin != kFromTemplate; });
  return data == part.runs().end() ? kFromTemplate : data->origin;
}

class Scanner {
 public:
  Scanner(const Context& context, std::string_view text) : context_(context), text_(text) {}
  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  char take() { return done() ? '\0' : text_[at_++]; }
  size_t offset() const { return at_; }
  bool skip(char c) {
    if (peek() != c || done()) return false;
    ++at_;
    return true;
  }
  int64_t number(int64_t limit) {
    int64_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + (take() - '0');
      if (value > limit) context_.fail("a format asks for more than {} characters", limit);
    }
    return value;
  }
  std::string_view until(char c) {
    const size_t end = text_.find(c, at_);
    if (end == std::string_view::npos) context_.fail("a format field is not closed with '{}'", c);
    const std::string_view inside = text_.substr(at_, end - at_);
    at_ = end + 1;
    return inside;
  }

 private:
  const Context& context_;
  std::string_view text_;
  size_t at_ = 0;
};

void pad(TextBuilder& out, const Text& text, const Spec& spec, bool number) {
  const auto size = static_cast<int64_t>(count_characters(text.view()));
  const int64_t missing = spec.width > size ? spec.width - size : 0;
  const char align = spec.align != '\0' ? spec.align : number ? '>' : '<';
  const int64_t left = align == '<' ? 0 : align == '>' ? missing : missing / 2;
  out.context().check_text_size(out.size() + text.size() + static_cast<uint64_t>(missing));
  out.append(std::string(usize(left), spec.fill), spec.origin);
  out.append(text);
  out.append(std::string(usize(missing - left), spec.fill), spec.origin);
}

std::string float_digits(double value, const Spec& spec) {
  const int precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
  const char pattern[] = {'%', '.', '*', spec.type, '\0'};
  const int size = std::snprintf(nullptr, 0, pattern, precision, value);
  std::string digits(usize(size), '\0');
  std::snprintf(digits.data(), digits.size() + 1, pattern, precision, value);
  return digits;
}

std::string integer_digits(Context& context, int64_t value, const Spec& spec) {
  const uint64_t size = value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const std::string sign = value < 0 ? "-" : "";
  switch (spec.type) {
    case 'x':
      return sign + (spec.alternate ? "0x" : "") + fmt::format("{:x}", size);
    case 'X':
      return sign + (spec.alternate ? "0X" : "") + fmt::format("{:X}", size);
    case 'o':
      return sign + (spec.alternate ? "0o" : "") + fmt::format("{:o}", size);
    case 'd':
      return sign + std::to_string(size);
    default:
      context.fail("the format type '{}' is not supported", spec.type);
  }
}

void write_number(TextBuilder& out, const Value& value, Spec spec) {
  Context& context = out.context();
  const bool floating = spec.type == 'f' || spec.type == 'F' || spec.type == 'e' || spec.type == 'E' ||
                        spec.type == 'g' || spec.type == 'G';
  if (value.is_undefined()) context.fail_undefined(value);
  if (!value.is_number())
    context.fail("the format '{}' needs a number, not a {}", spec.type, type_name(value));
  std::string digits;
  if (floating) {
    digits = float_digits(value.as_double(), spec);
  } else if (value.is_float()) {
    const double whole = std::trunc(value.as_double());
    if (!(std::fabs(whole) < 9.2e18)) context.fail("the number is out of the range of integers");
    digits = integer_digits(context, static_cast<int64_t>(whole), spec);
  } else {
    digits = integer_digits(context, value.as_integer(), spec);
  }
  if (spec.sign != '-' && digits[0] != '-') digits.insert(digits.begin(), spec.sign);
  if (spec.fill == '0' && spec.align == '\0') {
    const size_t sign = digits[0] == '-' || digits[0] == '+' || digits[0] == ' ' ? 1 : 0;
    const auto width = usize(spec.width);
    context.check_text_size(out.size() + width);
    if (digits.size() < width) digits.insert(sign, width - digits.size(), '0');
  }
  pad(out, Text(digits, spec.origin), spec, true);
}

void write_text(TextBuilder& out, const Value& value, const Spec& spec, bool repr) {
  TextBuilder part(out.context());
  if (repr) {
    write_repr(part, value);
  } else {
    write_str(part, value);
  }
  Text text = part.take();
  if (spec.precision >= 0) text = text.slice(0, character_offset(text.view(), usize(spec.precision)));
  pad(out, text, spec, false);
}

// The values behind '%', taken in order or by name.
class PercentValues {
 public:
  PercentValues(Context& context, const Value& value) : context_(context), value_(value) {
    if (value.list() != nullptr && value.list()->tuple) tuple_ = value.list();
  }

  Value next() {
    if (tuple_ != nullptr) {
      if (used_ >= tuple_->items.size()) context_.fail("'%' needs more values than it got");
      return tuple_->items[used_++];
    }
    if (used_++ > 0) context_.fail("'%' needs more values than it got");
    return value_;
  }

  Value named(std::string_view name) {
    const Dict* dict = value_.dict();
    if (dict == nullptr) context_.fail("'%({})' needs a mapping", name);
    const Value* found = find_key(context_, *dict, name);
    if (found == nullptr) context_.fail("'%({})': there is no such key", name);
    return *found;
  }

  void done() const {
    const size_t given = tuple_ != nullptr ? tuple_->items.size() : value_.dict() != nullptr ? used_ : 1;
    if (used_ < given) context_.fail("'%' got more values than its pattern has fields");
  }

 private:
  Context& context_;
  const Value& value_;
  const List* tuple_ = nullptr;
  size_t used_ = 0;
};

void write_percent_field(TextBuilder& out, const Text& pattern, Scanner& scan, PercentValues& values) {
  Context& context = out.context();
  const size_t begin = scan.offset();
  const bool by_name = scan.skip('(');
  const std::string_view name = by_name ? scan.until(')') : "";
  Spec spec;
  bool left = false;
  for (bool flags = true; flags;) {
    flags = false;
    if (scan.skip('-')) flags = left = true;
    if (scan.skip('0')) flags = true, spec.fill = '0';
    if (scan.skip('+')) flags = true, spec.sign = '+';
    if (scan.skip(' ')) flags = true, spec.sign = spec.sign == '+' ? '+' : ' ';
    if (scan.skip('#')) flags = spec.alternate = true;
  }
  spec.width = scan.number(kMaxWidth);
  if (scan.skip('.')) spec.precision = scan.number(kMaxPrecision);
  spec.type = scan.take();
  spec.origin = origin_of(pattern, begin, scan.offset());
  if (spec.type == '%') return out.append("%", spec.origin);
  if (left) {
    spec.align = '<';
    spec.fill = ' ';
  }
  const Value value = by_name ? values.named(name) : values.next();
  if (spec.type == 's' || spec.type == 'r') {
    spec.align = left ? '<' : '>';
    spec.fill = ' ';
    return write_text(out, value, spec, spec.type == 'r');
  }
  if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
  if (spec.type == '\0') context.fail("a format ends after '%'");
  write_number(out, value, spec);
}

Spec parse_brace_spec(Context& context, std::string_view text) {
  Spec spec;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^'; };
  if (text.size() > 1 && is_align(text[1])) {
    spec.fill = text[0];
    spec.align = text[1];
    text.remove_prefix(2);
  }
  Scanner scan(context, text);
  if (is_align(scan.peek())) spec.align = scan.take();
  if (scan.peek() == '+' || scan.peek() == ' ' || scan.peek() == '-') spec.sign = scan.take();
  spec.alternate = scan.skip('#');
  if (scan.skip('0') && spec.align == '\0') spec.fill = '0';
  spec.width = scan.number(kMaxWidth);
  if (scan.skip('.')) spec.precision = scan.number(kMaxPrecision);
  spec.type = scan.take();
  if (!scan.done() || static_cast<unsigned char>(spec.fill) >= 0x80)
    context.fail("the format '{}' is not supported", text);
  return spec;
}

// Formats one {...}: a number, a name or nothing; then !r or !s; then a colon and a format.
void write_brace_field(TextBuilder& out, std::string_view field, Origin origin, const Arguments& arguments,
                       size_t& next) {
  Context& context = out.context();
  const size_t colon = field.find(':');
  const std::string_view format = colon == std::string_view::npos ? "" : field.substr(colon + 1);
  field = field.substr(0, colon);
  const bool repr = field.ends_with("!r");
  if (repr || field.ends_with("!s")) field.remove_suffix(2);
  const bool numbered = field.find_first_not_of("0123456789") == std::string_view::npos;
  const Value* value = nullptr;
  if (numbered) {
    const size_t index = field.empty() ? next++ : usize(Scanner(context, field).number(kMaxWidth));
    if (index < arguments.positional.size()) value = &arguments.positional[index];
  }
  for (const auto& [name, named] : arguments.keyword) {
    if (name == field) value = &named;
  }
  if (value == nullptr) context.fail("format(): there is no value for the field '{}'", field);
  Spec spec = parse_brace_spec(context, format);
  spec.origin = origin;
  const bool plain = spec.type == '\0' || spec.type == 's';
  if (repr || (plain && !value->is_number())) {
    if (spec.fill == '0' && spec.align == '\0') spec.fill = ' ';
    return write_text(out, *value, spec, repr);
  }
  if (spec.type == 's') context.fail("the format 's' needs a string, not a {}", type_name(*value));
  if (!plain) return write_number(out, *value, spec);
  if (value->is_int()) {
    spec.type = 'd';
    return write_number(out, *value, spec);
  }
  if (spec.precision >= 0 || spec.fill == '0')
    context.fail("the format '{}' is not supported without a type", format);
  TextBuilder digits(context);
  write_str(digits, *value);
  pad(out, digits.take(), spec, value->is_float());
}

}  // namespace

Value format_percent(Context& context, const Text& pattern, const Value& value) {
  TextBuilder out(context);
  Scanner scan(context, pattern.view());
  PercentValues values(context, value);
  while (!scan.done()) {
    const size_t begin = scan.offset();
    while (!scan.done() && scan.peek() != '%') scan.take();
    out.append(pattern, begin, scan.offset());
    if (scan.skip('%')) write_percent_field(out, pattern, scan, values);
  }
  values.done();
  return out.finish();
}

Value format_braces(Context& context, const Text& pattern, const Arguments& arguments) {
  TextBuilder out(context);
  Scanner scan(context, pattern.view());
  size_t next = 0;
  while (!scan.done()) {
    const size_t begin = scan.offset();
    while (!scan.done() && scan.peek() != '{' && scan.peek() != '}') scan.take();
    out.append(pattern, begin, scan.offset());
    if (scan.done()) break;
    const char brace = scan.take();
    if (scan.skip(brace)) {
      out.append(pattern, scan.offset() - 1, scan.offset());
    } else if (brace == '}') {
      context.fail("format(): a single '}}' in the pattern");
    } else {
      const size_t field_begin = scan.offset();
      const std::string_view field = scan.until('}');
      write_brace_field(out, field, origin_of(pattern, field_begin, scan.offset()), arguments, next);
    }
  }
  return out.finish();
}

}  // namespace claa::jinja
