#include "template/jinja_methods.h"

#include <algorithm>

#include "template/jinja_access.h"
#include "template/jinja_filters.h"
#include "template/jinja_operators.h"

namespace claa::jinja {
namespace {

Value dict_get(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "get", arguments);
  const Value& key = reader.required("key");
  const Value* otherwise = reader.next("default");
  reader.done();
  const Value* found = find_key(context, *subject.dict(), key);
  if (found != nullptr) return *found;
  return otherwise == nullptr ? Value(None{}) : *otherwise;
}

Value dict_items(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "items", arguments).done();
  std::vector<Value> items;
  context.reserve_list(subject.dict()->entries.size());
  for (const auto& [key, value] : subject.dict()->entries) items.push_back(context.list({key, value}, true));
  return context.list(std::move(items));
}

Value dict_keys(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "keys", arguments).done();
  return Value(iterate(context, subject));
}

Value dict_values(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "values", arguments).done();
  std::vector<Value> values;
  context.reserve_list(subject.dict()->entries.size());
  for (const auto& entry : subject.dict()->entries) values.push_back(entry.second);
  return context.list(std::move(values));
}

Value dict_copy(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "copy", arguments).done();
  return subject;
}

Value list_count(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "count", arguments);
  const Value& wanted = reader.required("value");
  reader.done();
  const auto& items = subject.list()->items;
  return Value(static_cast<int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& item) { return equal(context, item, wanted); })));
}

Value list_index(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "index", arguments);
  const Value& wanted = reader.required("value");
  reader.done();
  const auto& items = subject.list()->items;
  const auto found = std::find_if(items.begin(), items.end(),
                                  [&](const Value& item) { return equal(context, item, wanted); });
  if (found == items.end()) context.fail("index(): the value is not in the list");
  return Value(static_cast<int64_t>(found - items.begin()));
}

Value refuse(Context& context, const Value& subject, const Arguments&) {
  context.fail("a template may not change a {}; build a new one, e.g. with '+'", type_name(subject));
}

constexpr NamedFunction kDictMethods[] = {
    {"get", dict_get},   {"items", dict_items},  {"keys", dict_keys}, {"values", dict_values},
    {"copy", dict_copy}, {"update", refuse},     {"pop", refuse},     {"popitem", refuse},
    {"clear", refuse},   {"setdefault", refuse},
};

constexpr NamedFunction kListMethods[] = {
    {"count", list_count}, {"index", list_index}, {"append", refuse}, {"extend", refuse},  {"insert", refuse},
    {"pop", refuse},       {"remove", refuse},    {"sort", refuse},   {"reverse", refuse}, {"clear", refuse},
};

}  // namespace

FunctionPtr find_method(const Value& object, std::string_view name) {
  if (object.text() != nullptr) return find_string_method(name);
  if (object.dict() != nullptr) return find_function(kDictMethods, name);
  if (object.list() != nullptr) return find_function(kListMethods, name);
  return nullptr;
}

}  // namespace claa::jinja
