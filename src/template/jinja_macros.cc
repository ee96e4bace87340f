// Calls of functions and macros.
#include <algorithm>

#include "template/jinja_eval.h"
#include "template/jinja_scope.h"

namespace claa::jinja {

Value Interpreter::make_macro(const MacroDef& macro) {
  context_.step();
  for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) scope->kept = true;
  Callable callable;
  callable.name = macro.name;
  callable.macro = &macro;
  callable.scope = scope_;
  return Value(CallablePtr(std::make_shared<const Callable>(std::move(callable))));
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  if (callee.is_undefined()) context_.fail_undefined(callee);
  const Callable* callable = callee.callable();
  if (callable == nullptr) context_.fail("a value of type {} cannot be called", type_name(callee));
  context_.step();
  if (callable->macro != nullptr) return call_macro(*callable, arguments);
  return callable->function(context_, callable->subject, arguments);
}

Value Interpreter::call_macro(const Callable& callable, const Arguments& arguments) {
  DepthGuard depth(context_);
  ScopeGuard scope(*this, callable.scope);
  bind_parameters(*callable.macro, arguments);
  bind_rest(*callable.macro, arguments);
  const Value captured = std::exchange(captured_, Value());
  TextBuilder out(context_);
  execute(callable.macro->body, out);
  captured_ = captured;
  return out.finish();
}

void Interpreter::bind_parameters(const MacroDef& macro, const Arguments& arguments) {
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const std::string& name = macro.parameters[i];
    const auto named = std::find_if(arguments.keyword.begin(), arguments.keyword.end(),
                                    [&](const auto& entry) { return entry.first == name; });
    const bool by_name = named != arguments.keyword.end();
    const bool by_position = i < arguments.positional.size();
    if (by_name && by_position) context_.fail("{}() got two values for '{}'", macro.name, name);
    if (by_name || by_position) {
      set_variable(name, by_name ? named->second : arguments.positional[i]);
    } else if (macro.defaults[i] != nullptr) {
      set_variable(name, evaluate(*macro.defaults[i]));
    } else {
      set_variable(name,
                   undefined(fmt::format("the parameter '{}' of {}() was not given", name, macro.name)));
    }
  }
}

// Arguments beyond the parameters: varargs, kwargs and caller, if the body mentions them.
void Interpreter::bind_rest(const MacroDef& macro, const Arguments& arguments) {
  const size_t taken = std::min(macro.parameters.size(), arguments.positional.size());
  std::vector<Value> rest(arguments.positional.begin() + static_cast<std::ptrdiff_t>(taken),
                          arguments.positional.end());
  if (!rest.empty() && !macro.uses_varargs) context_.fail("{}() got too many arguments", macro.name);
  if (macro.uses_varargs) set_variable("varargs", context_.list(std::move(rest), true));
  std::vector<std::pair<Value, Value>> named;
  for (const auto& [name, value] : arguments.keyword) {
    if (std::find(macro.parameters.begin(), macro.parameters.end(), name) != macro.parameters.end()) continue;
    if (name == "caller" && macro.uses_caller) {
      set_variable("caller", value);
    } else if (macro.uses_kwargs) {
      named.emplace_back(context_.text(name), value);
    } else {
      context_.fail("{}() does not know the argument '{}'", macro.name, name);
    }
  }
  if (macro.uses_kwargs) set_variable("kwargs", context_.dict(std::move(named)));
}

}  // namespace claa::jinja
