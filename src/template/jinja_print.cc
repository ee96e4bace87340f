#include "template/jinja_print.h"

#include <charconv>
#include <cmath>

#include "text/unicode.h"

namespace claa::jinja {
namespace {

// repr() of one character inside quotes.
std::string repr_character(const Char& c, char quote) {
  if (c.code == quote || c.code == '\\') return std::string("\\") + static_cast<char>(c.code);
  switch (c.code) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case -1:
      return std::string(c.bytes);
    default:
      break;
  }
  if (is_printable(c.code)) return std::string(c.bytes);
  if (c.code < 0x100) return fmt::format("\\x{:02x}", c.code);
  if (c.code < 0x10000) return fmt::format("\\u{:04x}", c.code);
  return fmt::format("\\U{:08x}", c.code);
}

void write_quoted(TextBuilder& out, const Text& text) {
  const bool single = text.view().find('\'') != std::string_view::npos;
  const bool both = single && text.view().find('"') != std::string_view::npos;
  const char quote = single && !both ? '"' : '\'';
  out.append(std::string_view(&quote, 1));
  CharReader reader(text);
  for (Char c; reader.next(c);) out.append(repr_character(c, quote), c.origin);
  out.append(std::string_view(&quote, 1));
}

void write_list(TextBuilder& out, const List& list) {
  out.append(list.tuple ? "(" : "[");
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(", ");
    write_repr(out, list.items[i]);
  }
  if (list.tuple && list.items.size() == 1) out.append(",");
  out.append(list.tuple ? ")" : "]");
}

void write_dict(TextBuilder& out, const Dict& dict) {
  out.append("{");
  for (size_t i = 0; i < dict.entries.size(); ++i) {
    if (i > 0) out.append(", ");
    write_repr(out, dict.entries[i].first);
    out.append(": ");
    write_repr(out, dict.entries[i].second);
  }
  out.append("}");
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const double size = std::fabs(value);
  const bool plain = value == 0 || (size >= 1e-4 && size < 1e16);
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value, format);
  std::string text(buffer, result.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

void write_repr(TextBuilder& out, const Value& value) {
  Context& context = out.context();
  DepthGuard guard(context);
  context.step();
  if (const Text* text = value.text()) return write_quoted(out, *text);
  if (const List* list = value.list()) return write_list(out, *list);
  if (const Dict* dict = value.dict()) return write_dict(out, *dict);
  if (value.is_undefined()) return out.append("Undefined");
  if (value.is_none()) return out.append("None");
  if (value.is_bool()) return out.append(value.as_integer() != 0 ? "True" : "False");
  if (value.is_int()) return out.append(std::to_string(value.as_integer()));
  if (value.is_float()) return out.append(float_repr(value.as_double()));
  context.fail("a {} cannot be written as text", type_name(value));
}

void write_str(TextBuilder& out, const Value& value) {
  if (value.is_undefined()) return;
  if (const Text* text = value.text()) return out.append(*text);
  write_repr(out, value);
}

TextPtr to_text(Context& context, const Value& value) {
  if (const auto* text = std::get_if<TextPtr>(&value.data())) return *text;
  TextBuilder out(context);
  write_str(out, value);
  return std::get<TextPtr>(out.finish().data());
}

}  // namespace claa::jinja
