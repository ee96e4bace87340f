// Filters (`value | name`), tests (`value is name`) and global functions, by name.
#pragma once

#include <string_view>

#include "template/jinja_context.h"
#include "template/jinja_methods.h"

namespace claa::jinja {

FunctionPtr find_filter(std::string_view name);  // null when there is none
FunctionPtr find_test(std::string_view name);    // its result is a boolean

FunctionPtr find_text_filter(std::string_view name);
FunctionPtr find_sequence_filter(std::string_view name);
FunctionPtr find_selection_filter(std::string_view name);

// range(), namespace(), dict(), raise_exception() and strftime_now(); null when `name` is none of them.
FunctionPtr find_global(std::string_view name);

// Functions that the ones above share.
template <size_t kSize>
FunctionPtr find_function(const NamedFunction (&table)[kSize], std::string_view name) {
  for (const NamedFunction& row : table) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace claa::jinja
