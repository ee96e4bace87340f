// Values as text: str() and repr() as Python writes them, and JSON. Marks of strings are kept.
#pragma once

#include <optional>
#include <string>

#include "template/jinja_context.h"

namespace claa::jinja {

void write_str(TextBuilder& out, const Value& value);
void write_repr(TextBuilder& out, const Value& value);
std::string float_repr(double value);

// The value as a string; a string is returned as it is.
TextPtr to_text(Context& context, const Value& value);

struct JsonStyle {
  std::optional<Text> indent;  // none: all on one line
  Text item_separator;
  Text key_separator;
  bool ascii_only = false;
  bool sort_keys = false;
};
void write_json(TextBuilder& out, const Value& value, const JsonStyle& style);

}  // namespace claa::jinja
