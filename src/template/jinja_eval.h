// Runs a parsed template.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "template/jinja_ast.h"
#include "template/jinja_context.h"

namespace claa::jinja {

// Variables of a block with its own scope: the template, one iteration of a loop, a macro.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> variables;
  bool kept = false;  // true if a macro defined inside may outlive the block
};

class Interpreter {
 public:
  explicit Interpreter(Context& context) : context_(context) {}

  // Names must live as long as the interpreter.
  void set_variable(std::string_view name, Value value);
  Text run(const Block& block);

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // Statements.
  Flow execute(const Block& block, TextBuilder& out);
  Flow execute(const Stmt& statement, TextBuilder& out);
  Flow execute_if(const Stmt& statement, TextBuilder& out);
  Flow execute_for(const Stmt& statement, TextBuilder& out);
  ListPtr filter_loop_items(const Stmt& statement, ListPtr items);
  Flow execute_scope(const Stmt& statement, TextBuilder& out);
  void execute_set(const Expr& target, const Value& value);
  Value capture(const Stmt& statement);  // text of the body, passed through the filters of the tag
  void execute_call_block(const Stmt& statement, TextBuilder& out);
  Value make_macro(const MacroDef& macro);

  // Expressions.
  Value evaluate(const Expr& expr);
  Value evaluate_name(const Expr& expr);
  Value evaluate_sequence(const Expr& expr);
  Value evaluate_dict(const Expr& expr);
  Value evaluate_slice(const Expr& expr);
  Value evaluate_call(const Expr& expr, const Value* caller = nullptr);
  Value evaluate_filter(const Expr& expr);
  Value evaluate_concat(const Expr& expr);
  Value evaluate_compare(const Expr& expr);
  Value evaluate_conditional(const Expr& expr);
  Arguments evaluate_arguments(const Expr& expr);

  Value call(const Value& callee, const Arguments& arguments);
  Value call_macro(const Callable& callable, const Arguments& arguments);
  void bind_parameters(const MacroDef& macro, const Arguments& arguments);
  void bind_rest(const MacroDef& macro, const Arguments& arguments);

  // Opens a scope while it lives.
  class ScopeGuard;

  Context& context_;
  Scope root_;
  Scope* scope_ = &root_;
  std::vector<std::unique_ptr<Scope>> kept_scopes_;
  Value captured_;
};

}  // namespace claa::jinja
