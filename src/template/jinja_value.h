// Value: what an expression of a template evaluates to. Values are immutable and shared, except for
// namespaces; the nesting of lists and mappings is bounded where they are made (Context), so walking one
// cannot exhaust the stack.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "template/jinja_text.h"

namespace claa::jinja {

class Context;
class Value;
struct MacroDef;
struct Scope;

// A missing variable, attribute or item. It renders as nothing, and most operations on it fail with `what`.
struct Undefined {
  std::shared_ptr<const std::string> what;
};
struct None {};

struct List;
struct Dict;
struct Loop;
struct Callable;
// Mutable attributes of namespace(). The Context owns them, since attributes may form cycles.
struct Namespace;

using TextPtr = std::shared_ptr<const Text>;
using ListPtr = std::shared_ptr<const List>;
using DictPtr = std::shared_ptr<const Dict>;
using LoopPtr = std::shared_ptr<const Loop>;
using CallablePtr = std::shared_ptr<const Callable>;

class Value {
 public:
  using Storage = std::variant<Undefined, None, bool, int64_t, double, TextPtr, ListPtr, DictPtr, LoopPtr,
                               Namespace*, CallablePtr>;

  Value() = default;
  template <typename T>
  requires(std::same_as<T, bool> || std::same_as<T, int64_t> || std::same_as<T, double> ||
           std::same_as<T, None> || std::same_as<T, Undefined> || std::same_as<T, TextPtr> ||
           std::same_as<T, ListPtr> || std::same_as<T, DictPtr> || std::same_as<T, LoopPtr> ||
           std::same_as<T, Namespace*> || std::same_as<T, CallablePtr>) explicit Value(T data)
      : data_(std::move(data)) {}

  const Storage& data() const { return data_; }
  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_int() const { return std::holds_alternative<int64_t>(data_); }  // a boolean is not an int
  bool is_integral() const { return is_int() || is_bool(); }  // arithmetic takes booleans as 0 and 1
  bool is_number() const { return is_integral() || is_float(); }

  // The content as that type, or null.
  const Text* text() const { return pointee<TextPtr>(); }
  const List* list() const { return pointee<ListPtr>(); }
  const Dict* dict() const { return pointee<DictPtr>(); }
  const Loop* loop() const { return pointee<LoopPtr>(); }
  const Callable* callable() const { return pointee<CallablePtr>(); }
  Namespace* name_space() const {
    const auto* held = std::get_if<Namespace*>(&data_);
    return held == nullptr ? nullptr : *held;
  }
  int64_t as_integer() const;  // of an integral value
  double as_double() const;    // of a number

 private:
  template <typename Pointer>
  const typename Pointer::element_type* pointee() const {
    const auto* held = std::get_if<Pointer>(&data_);
    return held == nullptr ? nullptr : held->get();
  }

  Storage data_;
};

// A list or a tuple.
struct List {
  std::vector<Value> items;
  bool tuple = false;
  int depth = 1;  // levels of nesting, including this one
};

// A mapping in insertion order. It is searched linearly: mappings in templates are small, and each comparison
// is counted.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 1;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
};

// The `loop` variable.
struct Loop {
  ListPtr items;
  size_t index = 0;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

using FunctionPtr = Value (*)(Context& context, const Value& subject, const Arguments& arguments);

// A function: built in, a method bound to its subject, or a macro with the scope it was defined in.
struct Callable {
  std::string name;
  FunctionPtr function = nullptr;
  Value subject;
  const MacroDef* macro = nullptr;
  Scope* scope = nullptr;
};

const char* type_name(const Value& value);
int nesting(const Value& value);  // 0 for a scalar
bool truthy(const Value& value);
// Description of a missing `a.name` or `a[name]`, for messages.
Value undefined(std::string what);

}  // namespace claa::jinja
