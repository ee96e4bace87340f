#include "template/jinja_value.h"

namespace claa::jinja {

int64_t Value::as_integer() const {
  const auto* flag = std::get_if<bool>(&data_);
  return flag != nullptr ? static_cast<int64_t>(*flag) : std::get<int64_t>(data_);
}

double Value::as_double() const {
  const auto* number = std::get_if<double>(&data_);
  return number != nullptr ? *number : static_cast<double>(as_integer());
}

const char* type_name(const Value& value) {
  if (const List* list = value.list()) return list->tuple ? "tuple" : "list";
  static constexpr const char* kNames[] = {"undefined", "none",      "boolean", "integer",
                                           "float",     "string",    "list",    "mapping",
                                           "loop",      "namespace", "function"};
  return kNames[value.data().index()];
}

int nesting(const Value& value) {
  if (const List* list = value.list()) return list->depth;
  if (const Dict* dict = value.dict()) return dict->depth;
  if (const Loop* loop = value.loop()) return loop->items->depth + 1;
  if (const Callable* callable = value.callable()) return nesting(callable->subject) + 1;
  return 0;
}

bool truthy(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is_integral()) return value.as_integer() != 0;
  if (value.is_float()) return value.as_double() != 0;
  if (const Text* text = value.text()) return !text->empty();
  if (const List* list = value.list()) return !list->items.empty();
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  return true;
}

Value undefined(std::string what) {
  return Value(Undefined{std::make_shared<const std::string>(std::move(what))});
}

}  // namespace claa::jinja
