// tojson, with the output of Python's json.dumps.
#include <algorithm>
#include <cmath>

#include "template/jinja_operators.h"
#include "template/jinja_print.h"

namespace claa::jinja {
namespace {

std::string escape_code_unit(int32_t unit) {
  return fmt::format("\\u{:04x}", unit);
}

std::string escape_ascii(int32_t code) {
  if (code < 0x10000) return escape_code_unit(code);
  const int32_t rest = code - 0x10000;
  return escape_code_unit(0xd800 + (rest >> 10)) + escape_code_unit(0xdc00 + (rest & 0x3ff));
}

std::string json_character(const Char& c, bool ascii_only) {
  static constexpr std::string_view kPlain = "\"\\\n\r\t\b\f";
  static constexpr std::string_view kLetters = "\"\\nrtbf";
  if (c.bytes.size() == 1) {
    const size_t special = kPlain.find(c.bytes[0]);
    if (special != std::string_view::npos) return {'\\', kLetters[special]};
  }
  if (c.code >= 0 && c.code < 0x20) return escape_code_unit(c.code);
  if (ascii_only && c.code >= 0x7f) return c.code == 0x7f ? std::string(c.bytes) : escape_ascii(c.code);
  return std::string(c.bytes);
}

class JsonWriter {
 public:
  JsonWriter(TextBuilder& out, const JsonStyle& style) : out_(out), context_(out.context()), style_(style) {}

  void write(const Value& value) {
    DepthGuard guard(context_);
    context_.step();
    if (const Text* text = value.text()) return write_string(*text);
    if (const List* list = value.list()) return write_list(*list);
    if (const Dict* dict = value.dict()) return write_dict(*dict);
    if (!is_scalar(value)) context_.fail("a value of type {} cannot be written as JSON", type_name(value));
    out_.append(scalar(value));
  }

 private:
  static bool is_scalar(const Value& value) { return value.is_none() || value.is_number(); }

  static std::string scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (value.is_bool()) return value.as_integer() != 0 ? "true" : "false";
    if (value.is_int()) return std::to_string(value.as_integer());
    const double number = value.as_double();
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
    return float_repr(number);
  }

  void write_string(const Text& text) {
    out_.append("\"");
    CharReader reader(text);
    for (Char c; reader.next(c);) out_.append(json_character(c, style_.ascii_only), c.origin);
    out_.append("\"");
  }

  void new_line(int level) {
    if (!style_.indent.has_value()) return;
    out_.append("\n");
    for (int i = 0; i < level; ++i) out_.append(*style_.indent);
  }

  void write_list(const List& list) {
    if (list.items.empty()) return out_.append("[]");
    out_.append("[");
    ++level_;
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line(level_);
      write(list.items[i]);
    }
    new_line(--level_);
    out_.append("]");
  }

  void write_key(const Value& key) {
    if (const Text* text = key.text()) return write_string(*text);
    if (!is_scalar(key)) context_.fail("a key of type {} cannot be written as JSON", type_name(key));
    out_.append("\"" + scalar(key) + "\"");
  }

  void write_dict(const Dict& dict) {
    if (dict.entries.empty()) return out_.append("{}");
    std::vector<const std::pair<Value, Value>*> entries;
    context_.reserve_list(dict.entries.size());
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [this](const auto* a, const auto* b) {
        return compare(context_, a->first, b->first) < 0;
      });
    }
    out_.append("{");
    ++level_;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line(level_);
      write_key(entries[i]->first);
      out_.append(style_.key_separator);
      write(entries[i]->second);
    }
    new_line(--level_);
    out_.append("}");
  }

  TextBuilder& out_;
  Context& context_;
  const JsonStyle& style_;
  int level_ = 0;
};

}  // namespace

void write_json(TextBuilder& out, const Value& value, const JsonStyle& style) {
  JsonWriter(out, style).write(value);
}

}  // namespace claa::jinja
