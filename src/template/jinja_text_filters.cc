// Filters that take or make text or a number.
#include <charconv>
#include <cmath>

#include "template/jinja_access.h"
#include "template/jinja_filters.h"
#include "template/jinja_operators.h"
#include "template/jinja_print.h"
#include "template/jinja_strings.h"

namespace claa::jinja {
namespace {

Value filter_trim(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "trim", arguments);
  const Text* chars = reader.optional_text("chars");
  reader.done();
  return strip(context, *to_text(context, subject), chars, Side::kBoth);
}

template <Case kCase>
Value filter_case(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "upper", arguments).done();
  return change_case(context, *to_text(context, subject), kCase);
}

Value filter_capitalize(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "capitalize", arguments).done();
  return capitalize(context, *to_text(context, subject));
}

Value filter_title(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "title", arguments).done();
  return title(context, *to_text(context, subject), WordRule::kSpaces);
}

Value filter_replace(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "replace", arguments);
  const TextPtr old_text = to_text(context, reader.required("old"));
  const TextPtr new_text = to_text(context, reader.required("new"));
  const int64_t count = reader.integer("count", -1);
  reader.done();
  return replace(context, *to_text(context, subject), *old_text, *new_text, count);
}

Value filter_string(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "string", arguments).done();
  return Value(to_text(context, subject));
}

Value filter_escape(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "escape", arguments).done();
  static constexpr std::string_view kSpecial = "&<>'\"";
  static constexpr std::string_view kEscaped[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  const TextPtr text = to_text(context, subject);
  TextBuilder out(context);
  CharReader reader(*text);
  for (Char c; reader.next(c);) {
    const size_t special = c.bytes.size() == 1 ? kSpecial.find(c.bytes[0]) : std::string_view::npos;
    out.append(special == std::string_view::npos ? c.bytes : kEscaped[special], c.origin);
  }
  return out.finish();
}

Value filter_indent(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "indent", arguments);
  const Value* width = reader.next("width");
  const bool first = reader.flag("first", false);
  const bool blank = reader.flag("blank", false);
  reader.done();
  Text indentation("    ", kFromTemplate);
  if (width != nullptr && width->text() != nullptr) {
    indentation = *width->text();
  } else if (width != nullptr) {
    if (!width->is_integral()) context.fail("indent() needs a number or a string as its width");
    const auto spaces = static_cast<uint64_t>(std::max<int64_t>(width->as_integer(), 0));
    context.check_text_size(spaces);
    indentation = Text(std::string(spaces, ' '), kFromTemplate);
  }
  // With the newline Jinja adds, a text that ends in a newline has one more, empty, line.
  Text text = *to_text(context, subject);
  text.append("\n", kFromTemplate);
  const std::vector<Value> lines = split_lines(context, text, false);
  TextBuilder out(context);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n");
    if (i > 0 ? blank || !lines[i].text()->empty() : first) out.append(indentation);
    out.append(*lines[i].text());
  }
  return out.finish();
}

Value filter_tojson(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "tojson", arguments);
  JsonStyle style;
  // The parameters, in the order of transformers' own filter.
  style.ascii_only = reader.flag("ensure_ascii", false);
  const Value* indent = reader.next("indent");
  const Value* separators = reader.next("separators");
  style.sort_keys = reader.flag("sort_keys", false);
  reader.done();
  if (indent != nullptr && indent->text() != nullptr) {
    style.indent = *indent->text();
  } else if (indent != nullptr && !indent->is_none()) {
    if (!indent->is_integral()) context.fail("tojson() needs a number or a string for 'indent'");
    const auto spaces = static_cast<uint64_t>(std::max<int64_t>(indent->as_integer(), 0));
    context.check_text_size(spaces);
    style.indent = Text(std::string(spaces, ' '), kFromTemplate);
  }
  style.item_separator = Text(style.indent.has_value() ? "," : ", ", kFromTemplate);
  style.key_separator = Text(": ", kFromTemplate);
  if (separators != nullptr && !separators->is_none()) {
    const List* list = separators->list();
    if (list == nullptr || list->items.size() != 2)
      context.fail("tojson() needs two strings for 'separators'");
    style.item_separator = *to_text(context, list->items[0]);
    style.key_separator = *to_text(context, list->items[1]);
  }
  TextBuilder out(context);
  write_json(out, subject, style);
  return out.finish();
}

// The number a text spells, with whitespace around and underscores as Python allows.
std::optional<double> read_float(std::string_view text) {
  while (!text.empty() && is_space(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && is_space(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) value = std::strtod(std::string(text).c_str(), nullptr);
  return value;
}

std::optional<int64_t> read_integer(const Context& context, std::string_view text, int base) {
  while (!text.empty() && is_space(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && is_space(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  std::string digits(text);
  if (digits.starts_with('+') && !digits.starts_with("+-")) digits.erase(0, 1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (end != digits.data() + digits.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) context.fail("an integer is out of the 64-bit range");
  return value;
}

std::optional<int64_t> whole(const Context& context, double value) {
  if (!std::isfinite(value)) return std::nullopt;
  if (std::fabs(value) >= 9.2233720368547758e18) context.fail("an integer is out of the 64-bit range");
  return static_cast<int64_t>(std::trunc(value));
}

Value filter_int(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "int", arguments);
  const Value* otherwise = reader.next("default");
  const int64_t base = reader.integer("base", 10);
  reader.done();
  if (base < 2 || base > 36) context.fail("int() needs a base from 2 to 36");
  if (subject.is_undefined()) context.fail_undefined(subject);
  std::optional<int64_t> value;
  if (subject.is_integral()) value = subject.as_integer();
  if (subject.is_float()) value = whole(context, subject.as_double());
  if (const Text* text = subject.text()) {
    context.step_bytes(text->size());
    value = read_integer(context, text->view(), static_cast<int>(base));
    const std::optional<double> number = value.has_value() ? std::nullopt : read_float(text->view());
    if (number.has_value()) value = whole(context, *number);
  }
  if (value.has_value()) return Value(*value);
  return otherwise == nullptr ? Value(int64_t{0}) : *otherwise;
}

Value filter_float(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "float", arguments);
  const Value* otherwise = reader.next("default");
  reader.done();
  if (subject.is_undefined()) context.fail_undefined(subject);
  if (subject.is_number()) return Value(subject.as_double());
  std::optional<double> value;
  if (const Text* text = subject.text()) {
    context.step_bytes(text->size());
    value = read_float(text->view());
  }
  if (value.has_value()) return Value(*value);
  return otherwise == nullptr ? Value(0.0) : *otherwise;
}

Value filter_abs(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "abs", arguments).done();
  const Value value = positive(context, subject);
  if (value.is_float()) return Value(std::fabs(value.as_double()));
  return value.as_integer() < 0 ? negate(context, value) : value;
}

Value filter_round(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "round", arguments);
  const int64_t precision = reader.integer("precision", 0);
  const Text* given = reader.optional_text("method");
  reader.done();
  const std::string_view method = given == nullptr ? "common" : given->view();
  if (method != "common" && method != "ceil" && method != "floor") {
    context.fail("round() knows the methods 'common', 'ceil' and 'floor', not '{}'", method.substr(0, 40));
  }
  if (precision < 0 || precision > 300) context.fail("round() needs a precision from 0 to 300");
  const Value value = positive(context, subject);
  if (method == "common") {
    if (!value.is_float() || !std::isfinite(value.as_double())) return value;
    // printf rounds the exact value, ties to even, as Python does.
    return Value(std::strtod(fmt::format("{:.{}f}", value.as_double(), precision).c_str(), nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value.as_double() * scale;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Value filter_format(Context& context, const Value& subject, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keyword.empty()) {
    context.fail("format() takes values by position or by name, not both");
  }
  const TextPtr pattern = to_text(context, subject);
  if (arguments.keyword.empty())
    return format_percent(context, *pattern, context.list(arguments.positional, true));
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, value] : arguments.keyword) entries.emplace_back(context.text(name), value);
  return format_percent(context, *pattern, context.dict(std::move(entries)));
}

constexpr NamedFunction kTextFilters[] = {
    {"trim", filter_trim},
    {"upper", filter_case<Case::kUpper>},
    {"lower", filter_case<Case::kLower>},
    {"capitalize", filter_capitalize},
    {"title", filter_title},
    {"replace", filter_replace},
    {"string", filter_string},
    {"safe", filter_string},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"indent", filter_indent},
    {"tojson", filter_tojson},
    {"int", filter_int},
    {"float", filter_float},
    {"abs", filter_abs},
    {"round", filter_round},
    {"format", filter_format},
};

}  // namespace

FunctionPtr find_text_filter(std::string_view name) {
  return find_function(kTextFilters, name);
}

FunctionPtr find_filter(std::string_view name) {
  if (const FunctionPtr filter = find_text_filter(name)) return filter;
  if (const FunctionPtr filter = find_sequence_filter(name)) return filter;
  return find_selection_filter(name);
}

}  // namespace claa::jinja
