// Filters that apply a filter or a test, given by name, to every item: map, select, reject, selectattr,
// rejectattr.
#include "template/jinja_access.h"
#include "template/jinja_filters.h"

namespace claa::jinja {
namespace {

// The arguments after the first `count` positional ones.
Arguments behind(const Arguments& arguments, size_t count) {
  Arguments rest;
  for (size_t i = count; i < arguments.positional.size(); ++i)
    rest.positional.push_back(arguments.positional[i]);
  rest.keyword = arguments.keyword;
  return rest;
}

// Jinja checks whether there is anything before it iterates: none, false and 0 count as an empty list here.
ListPtr iterate_if_any(Context& context, const Value& subject) {
  return truthy(subject) ? iterate(context, subject) : std::make_shared<const List>();
}

FunctionPtr named_function(const Context& context, const Value& name, FunctionPtr (*find)(std::string_view),
                           std::string_view kind) {
  if (name.text() == nullptr) context.fail("the name of a {} must be a string", kind);
  const FunctionPtr function = find(name.text()->view());
  if (function == nullptr) context.fail("there is no {} '{}'", kind, name.text()->view().substr(0, 60));
  return function;
}

Value map_attribute(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "map", arguments);
  const Value& attribute = reader.required("attribute");
  const Value* otherwise = reader.next("default");
  reader.done();
  std::vector<Value> result;
  const ListPtr list = iterate_if_any(context, subject);
  for (const Value& item : list->items) {
    context.reserve_list(1);
    const Value found = get_path(context, item, attribute);
    result.push_back(found.is_undefined() && otherwise != nullptr ? *otherwise : found);
  }
  return context.list(std::move(result));
}

Value filter_map(Context& context, const Value& subject, const Arguments& arguments) {
  // A filter may call map again, and so on.
  DepthGuard guard(context);
  if (arguments.positional.empty()) return map_attribute(context, subject, arguments);
  const FunctionPtr filter = named_function(context, arguments.positional[0], find_filter, "filter");
  const Arguments rest = behind(arguments, 1);
  std::vector<Value> result;
  const ListPtr list = iterate_if_any(context, subject);
  for (const Value& item : list->items) {
    context.reserve_list(1);
    result.push_back(filter(context, item, rest));
  }
  return context.list(std::move(result));
}

template <bool kByAttribute, bool kKeepTrue>
Value filter_select(Context& context, const Value& subject, const Arguments& arguments) {
  DepthGuard guard(context);
  constexpr size_t kTestAt = kByAttribute ? 1 : 0;
  if (arguments.positional.size() < kTestAt) context.fail("selectattr() and rejectattr() need an attribute");
  FunctionPtr test = nullptr;
  Arguments rest;
  if (arguments.positional.size() > kTestAt) {
    test = named_function(context, arguments.positional[kTestAt], find_test, "test");
    rest = behind(arguments, kTestAt + 1);
  }
  std::vector<Value> result;
  const ListPtr list = iterate_if_any(context, subject);
  for (const Value& item : list->items) {
    context.reserve_list(1);
    const Value tested = kByAttribute ? get_path(context, item, arguments.positional[0]) : item;
    const bool passes = truthy(test == nullptr ? tested : test(context, tested, rest));
    if (passes == kKeepTrue) result.push_back(item);
  }
  return context.list(std::move(result));
}

constexpr NamedFunction kSelectionFilters[] = {
    {"map", filter_map},
    {"select", filter_select<false, true>},
    {"reject", filter_select<false, false>},
    {"selectattr", filter_select<true, true>},
    {"rejectattr", filter_select<true, false>},
};

}  // namespace

FunctionPtr find_selection_filter(std::string_view name) {
  return find_function(kSelectionFilters, name);
}

}  // namespace claa::jinja
