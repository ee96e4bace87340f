// Methods of strings.
#include "template/jinja_access.h"
#include "template/jinja_filters.h"
#include "template/jinja_methods.h"
#include "template/jinja_operators.h"
#include "template/jinja_strings.h"

namespace claa::jinja {
namespace {

const Text& text_of(const Value& subject) {
  return *subject.text();
}

template <Side kSide>
Value method_strip(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "strip", arguments);
  const Text* chars = reader.optional_text("chars");
  reader.done();
  return strip(context, text_of(subject), chars, kSide);
}

template <std::vector<Value> (*kSplit)(Context&, const Text&, const Text*, int64_t)>
Value method_split(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "split", arguments);
  const Text* separator = reader.optional_text("sep");
  const int64_t limit = reader.integer("maxsplit", -1);
  reader.done();
  return context.list(kSplit(context, text_of(subject), separator, limit));
}

Value method_splitlines(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "splitlines", arguments);
  const bool keep = reader.flag("keepends", false);
  reader.done();
  return context.list(split_lines(context, text_of(subject), keep));
}

// startswith, endswith: one string or a tuple of them.
template <bool kEnd>
bool has_affix(const Text& text, const Text& affix) {
  return kEnd ? text.view().ends_with(affix.view()) : text.view().starts_with(affix.view());
}

template <bool kEnd>
Value method_affix(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, kEnd ? "endswith" : "startswith", arguments);
  const Value& wanted = reader.required("prefix");
  reader.done();
  const List* list = wanted.list();
  const bool one = wanted.text() != nullptr;
  if (wanted.is_undefined()) context.fail_undefined(wanted);
  if (!one && (list == nullptr || !list->tuple))
    context.fail("startswith() and endswith() need a string or a tuple");
  if (one) {
    context.step_bytes(wanted.text()->size());
    return Value(has_affix<kEnd>(text_of(subject), *wanted.text()));
  }
  for (const Value& item : list->items) {
    if (item.text() == nullptr) context.fail("startswith() and endswith() need strings in the tuple");
    context.step_bytes(item.text()->size());
    if (has_affix<kEnd>(text_of(subject), *item.text())) return Value(true);
  }
  return Value(false);
}

template <bool kEnd>
Value method_remove_affix(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, kEnd ? "removesuffix" : "removeprefix", arguments);
  const Text& affix = reader.required_text("affix");
  reader.done();
  const Text& text = text_of(subject);
  if (!has_affix<kEnd>(text, affix)) return subject;
  return context.text(kEnd ? text.slice(0, text.size() - affix.size())
                           : text.slice(affix.size(), text.size()));
}

template <Case kCase>
Value method_case(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "upper", arguments).done();
  return change_case(context, text_of(subject), kCase);
}

Value method_title(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "title", arguments).done();
  return title(context, text_of(subject), WordRule::kLetters);
}

Value method_capitalize(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "capitalize", arguments).done();
  return capitalize(context, text_of(subject));
}

Value method_replace(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "replace", arguments);
  const Text& old_text = reader.required_text("old");
  const Text& new_text = reader.required_text("new");
  const int64_t count = reader.integer("count", -1);
  reader.done();
  return replace(context, text_of(subject), old_text, new_text, count);
}

Value method_find(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "find", arguments);
  const Text& wanted = reader.required_text("sub");
  reader.done();
  const std::string_view text = text_of(subject).view();
  const size_t found = find_bytes(context, text, wanted.view(), 0);
  if (found == std::string_view::npos) return Value(int64_t{-1});
  return Value(static_cast<int64_t>(count_characters(text.substr(0, found))));
}

Value method_rfind(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "rfind", arguments);
  const Text& wanted = reader.required_text("sub");
  reader.done();
  const std::string_view text = text_of(subject).view();
  context.step_bytes(2 * text.size());
  const std::string reversed(text.rbegin(), text.rend());
  const std::string needle(wanted.view().rbegin(), wanted.view().rend());
  const size_t found = find_bytes(context, reversed, needle, 0);
  if (found == std::string_view::npos) return Value(int64_t{-1});
  return Value(static_cast<int64_t>(count_characters(text.substr(0, text.size() - found - needle.size()))));
}

Value method_count(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "count", arguments);
  const Text& wanted = reader.required_text("sub");
  reader.done();
  const std::string_view text = text_of(subject).view();
  context.step_bytes(text.size());
  if (wanted.empty()) return Value(static_cast<int64_t>(count_characters(text)) + 1);
  int64_t count = 0;
  for (size_t at = 0; (at = find_bytes(context, text, wanted.view(), at)) != std::string_view::npos;
       ++count) {
    at += wanted.size();
  }
  return Value(count);
}

Value method_join(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "join", arguments);
  const Value& parts = reader.required("iterable");
  reader.done();
  const ListPtr items = iterate(context, parts);
  for (const Value& item : items->items) {
    if (item.text() == nullptr) context.fail("join() needs strings, not a {}", type_name(item));
  }
  return join(context, items->items, text_of(subject));
}

Value method_format(Context& context, const Value& subject, const Arguments& arguments) {
  return format_braces(context, text_of(subject), arguments);
}

// isdigit and its relatives: true if every character has the property and there is at least one.
template <bool (*kProperty)(int32_t)>
Value method_is(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "isdigit", arguments).done();
  context.step_bytes(text_of(subject).size());
  CharReader reader(text_of(subject));
  for (Char c; reader.next(c);) {
    if (!kProperty(c.code)) return Value(false);
  }
  return Value(!text_of(subject).empty());
}

constexpr NamedFunction kStringMethods[] = {
    {"strip", method_strip<Side::kBoth>},
    {"lstrip", method_strip<Side::kLeft>},
    {"rstrip", method_strip<Side::kRight>},
    {"split", method_split<split>},
    {"rsplit", method_split<split_from_right>},
    {"splitlines", method_splitlines},
    {"startswith", method_affix<false>},
    {"endswith", method_affix<true>},
    {"removeprefix", method_remove_affix<false>},
    {"removesuffix", method_remove_affix<true>},
    {"upper", method_case<Case::kUpper>},
    {"lower", method_case<Case::kLower>},
    {"title", method_title},
    {"capitalize", method_capitalize},
    {"replace", method_replace},
    {"find", method_find},
    {"rfind", method_rfind},
    {"count", method_count},
    {"join", method_join},
    {"format", method_format},
    {"isdigit", method_is<is_digit>},
    {"isalpha", method_is<is_alpha>},
    {"isspace", method_is<is_space>},
};

}  // namespace

FunctionPtr find_string_method(std::string_view name) {
  return find_function(kStringMethods, name);
}

}  // namespace claa::jinja
