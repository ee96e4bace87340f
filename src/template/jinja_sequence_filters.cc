// Filters on sequences and mappings. Where Jinja gives a generator, these give a list.
#include <algorithm>

#include "template/jinja_access.h"
#include "template/jinja_filters.h"
#include "template/jinja_operators.h"
#include "template/jinja_print.h"
#include "template/jinja_strings.h"

namespace claa::jinja {
namespace {

Value filter_length(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "length", arguments).done();
  if (const Text* text = subject.text()) {
    context.step_bytes(text->size());
    return Value(static_cast<int64_t>(count_characters(text->view())));
  }
  if (const Dict* dict = subject.dict()) return Value(static_cast<int64_t>(dict->entries.size()));
  if (const List* list = subject.list()) return Value(static_cast<int64_t>(list->items.size()));
  if (subject.is_undefined()) return Value(int64_t{0});
  context.fail("a value of type {} has no length", type_name(subject));
}

Value filter_default(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "default", arguments);
  const Value* otherwise = reader.next("default_value");
  const bool falsy_too = reader.flag("boolean", false);
  reader.done();
  if (!subject.is_undefined() && (!falsy_too || truthy(subject))) return subject;
  return otherwise == nullptr ? context.text("") : *otherwise;
}

Value filter_join(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "join", arguments);
  const Value* separator = reader.next("d");
  const Value* attribute = reader.next("attribute");
  reader.done();
  std::vector<Value> items = iterate(context, subject)->items;
  if (attribute != nullptr && !attribute->is_none()) {
    for (Value& item : items) item = get_path(context, item, *attribute);
  }
  return join(context, items, separator == nullptr ? Text() : *to_text(context, *separator));
}

template <bool kLast>
Value filter_end(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "first", arguments).done();
  const ListPtr list = iterate(context, subject);
  if (list->items.empty()) return undefined("there is no such item: the sequence is empty");
  return kLast ? list->items.back() : list->items.front();
}

Value filter_list(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "list", arguments).done();
  return context.list(iterate(context, subject)->items);
}

Value filter_items(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "items", arguments).done();
  if (subject.is_undefined()) return context.list({});
  if (subject.dict() == nullptr) context.fail("items() needs a mapping, not a {}", type_name(subject));
  return find_method(subject, "items")(context, subject, {});
}

Value filter_reverse(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "reverse", arguments).done();
  if (subject.text() != nullptr) return get_slice(context, subject, {{}, {}, -1});
  std::vector<Value> items = iterate(context, subject)->items;
  std::reverse(items.begin(), items.end());
  return context.list(std::move(items));
}

// The key by which items are compared: the item or one of its attributes, strings without regard to case by
// default.
Value sort_key(Context& context, const Value& item, const Value* attribute, bool case_sensitive) {
  const bool plain = attribute == nullptr || attribute->is_none();
  const Value key = plain ? item : get_path(context, item, *attribute);
  return key.text() == nullptr || case_sensitive ? key : change_case(context, *key.text(), Case::kLower);
}

using Keyed = std::vector<std::pair<Value, Value>>;  // key, item

void sort_by_key(Context& context, Keyed& items, bool reverse) {
  std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
    return reverse ? compare(context, b.first, a.first) < 0 : compare(context, a.first, b.first) < 0;
  });
}

Value to_list(Context& context, Keyed items) {
  std::vector<Value> values;
  for (auto& entry : items) values.push_back(std::move(entry.second));
  return context.list(std::move(values));
}

Value filter_sort(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "sort", arguments);
  const bool reverse = reader.flag("reverse", false);
  const bool case_sensitive = reader.flag("case_sensitive", false);
  const Value* attribute = reader.next("attribute");
  reader.done();
  const ListPtr list = iterate(context, subject);
  context.reserve_list(2 * list->items.size());
  Keyed items;
  for (const Value& item : list->items) {
    items.emplace_back(sort_key(context, item, attribute, case_sensitive), item);
  }
  sort_by_key(context, items, reverse);
  return to_list(context, std::move(items));
}

Value filter_dictsort(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "dictsort", arguments);
  const bool case_sensitive = reader.flag("case_sensitive", false);
  const Text* by = reader.optional_text("by");
  const bool reverse = reader.flag("reverse", false);
  reader.done();
  if (subject.is_undefined()) context.fail_undefined(subject);
  if (subject.dict() == nullptr) context.fail("dictsort() needs a mapping, not a {}", type_name(subject));
  if (by != nullptr && by->view() != "key" && by->view() != "value") {
    context.fail("dictsort() sorts by 'key' or 'value'");
  }
  context.reserve_list(2 * subject.dict()->entries.size());
  Keyed items;
  for (const auto& [key, value] : subject.dict()->entries) {
    const Value& sorted_by = by != nullptr && by->view() == "value" ? value : key;
    items.emplace_back(sort_key(context, sorted_by, nullptr, case_sensitive),
                       context.list({key, value}, true));
  }
  sort_by_key(context, items, reverse);
  return to_list(context, std::move(items));
}

Value filter_unique(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "unique", arguments);
  const bool case_sensitive = reader.flag("case_sensitive", false);
  const Value* attribute = reader.next("attribute");
  reader.done();
  const ListPtr list = iterate(context, subject);
  std::vector<Value> keys;
  std::vector<Value> items;
  for (const Value& item : list->items) {
    context.reserve_list(2);
    Value key = sort_key(context, item, attribute, case_sensitive);
    if (std::any_of(keys.begin(), keys.end(), [&](const Value& other) { return equal(context, key, other); }))
      continue;
    keys.push_back(std::move(key));
    items.push_back(item);
  }
  return context.list(std::move(items));
}

Value filter_sum(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "sum", arguments);
  const Value* attribute = reader.next("attribute");
  const Value* start = reader.next("start");
  reader.done();
  Value sum = start == nullptr ? Value(int64_t{0}) : *start;
  if (sum.text() != nullptr) context.fail("sum() does not join strings; use join()");
  const ListPtr list = iterate(context, subject);
  for (const Value& item : list->items) {
    context.step();
    const bool plain = attribute == nullptr || attribute->is_none();
    sum = calculate(context, Operator::kAdd, sum, plain ? item : get_path(context, item, *attribute));
  }
  return sum;
}

template <bool kMax>
Value filter_extreme(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "max", arguments);
  const bool case_sensitive = reader.flag("case_sensitive", false);
  const Value* attribute = reader.next("attribute");
  reader.done();
  const ListPtr list = iterate(context, subject);
  if (list->items.empty()) return undefined("there is no extreme item: the sequence is empty");
  const Value* best = &list->items[0];
  Value best_key = sort_key(context, *best, attribute, case_sensitive);
  for (size_t i = 1; i < list->items.size(); ++i) {
    Value key = sort_key(context, list->items[i], attribute, case_sensitive);
    const auto order = kMax ? compare(context, best_key, key) : compare(context, key, best_key);
    if (!(order < 0)) continue;
    best = &list->items[i];
    best_key = std::move(key);
  }
  return *best;
}

constexpr NamedFunction kSequenceFilters[] = {
    {"length", filter_length},     {"count", filter_length}, {"default", filter_default},
    {"d", filter_default},         {"join", filter_join},    {"first", filter_end<false>},
    {"last", filter_end<true>},    {"list", filter_list},    {"items", filter_items},
    {"reverse", filter_reverse},   {"sort", filter_sort},    {"dictsort", filter_dictsort},
    {"unique", filter_unique},     {"sum", filter_sum},      {"min", filter_extreme<false>},
    {"max", filter_extreme<true>},
};

}  // namespace

FunctionPtr find_sequence_filter(std::string_view name) {
  return find_function(kSequenceFilters, name);
}

}  // namespace claa::jinja
