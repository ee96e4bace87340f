// Methods of strings, mappings and lists. Methods that would change a value exist only to fail when called.
#pragma once

#include <string_view>

#include "template/jinja_context.h"

namespace claa::jinja {

// The method `name` of the type of `object`, or null.
FunctionPtr find_method(const Value& object, std::string_view name);

// One table per type; each row is the method's name and its function.
struct NamedFunction {
  std::string_view name;
  FunctionPtr function;
};
FunctionPtr find_string_method(std::string_view name);

}  // namespace claa::jinja
