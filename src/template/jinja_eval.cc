#include "template/jinja_eval.h"

#include "template/jinja_access.h"
#include "template/jinja_filters.h"
#include "template/jinja_operators.h"
#include "template/jinja_print.h"

namespace claa::jinja {

Value Interpreter::evaluate(const Expr& expr) {
  DepthGuard guard(context_);
  context_.step();
  context_.line = expr.line;
  const auto operand = [&](size_t index) { return evaluate(*expr.operands[index]); };
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName:
      return evaluate_name(expr);
    case ExprKind::kCaptured:
      return captured_;
    case ExprKind::kList:
    case ExprKind::kTuple:
      return evaluate_sequence(expr);
    case ExprKind::kDict:
      return evaluate_dict(expr);
    case ExprKind::kAttribute:
      return get_attribute(context_, operand(0), expr.name);
    case ExprKind::kItem: {
      const Value object = operand(0);
      return get_item(context_, object, operand(1));
    }
    case ExprKind::kSlice:
      return evaluate_slice(expr);
    case ExprKind::kCall:
      return evaluate_call(expr);
    case ExprKind::kFilter:
    case ExprKind::kTest:
      return evaluate_filter(expr);
    case ExprKind::kNot:
      return Value(!truthy(operand(0)));
    case ExprKind::kNegative:
      return negate(context_, operand(0));
    case ExprKind::kPositive:
      return positive(context_, operand(0));
    case ExprKind::kAnd: {
      const Value left = operand(0);
      return truthy(left) ? operand(1) : left;
    }
    case ExprKind::kOr: {
      const Value left = operand(0);
      return truthy(left) ? left : operand(1);
    }
    case ExprKind::kBinary: {
      const Value left = operand(0);
      const Value right = operand(1);
      context_.line = expr.line;
      return calculate(context_, expr.operators[0], left, right);
    }
    case ExprKind::kConcat:
      return evaluate_concat(expr);
    case ExprKind::kCompare:
      return evaluate_compare(expr);
    default:
      return evaluate_conditional(expr);
  }
}

Value Interpreter::evaluate_name(const Expr& expr) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    for (const auto& [name, value] : scope->variables) {
      if (name == expr.name) return value;
    }
    context_.step(1 + scope->variables.size() / 8);
  }
  if (const FunctionPtr function = find_global(expr.name)) return context_.function(expr.name, function);
  return undefined(fmt::format("'{}' is undefined", expr.name));
}

Value Interpreter::evaluate_sequence(const Expr& expr) {
  std::vector<Value> items;
  context_.reserve_list(expr.operands.size());
  for (const ExprPtr& operand : expr.operands) items.push_back(evaluate(*operand));
  return context_.list(std::move(items), expr.kind == ExprKind::kTuple);
}

Value Interpreter::evaluate_dict(const Expr& expr) {
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i < expr.operands.size(); i += 2) {
    const Value key = evaluate(*expr.operands[i]);
    set_entry(context_, entries, key, evaluate(*expr.operands[i + 1]));
  }
  return context_.dict(std::move(entries));
}

Value Interpreter::evaluate_slice(const Expr& expr) {
  const Value object = evaluate(*expr.operands[0]);
  const auto bound = [&](size_t index) -> std::optional<int64_t> {
    if (expr.operands[index] == nullptr) return std::nullopt;
    const Value value = evaluate(*expr.operands[index]);
    if (value.is_none()) return std::nullopt;
    if (value.is_undefined()) context_.fail_undefined(value);
    if (!value.is_integral()) context_.fail("a slice needs integers, not a {}", type_name(value));
    return value.as_integer();
  };
  SliceBounds bounds;
  bounds.start = bound(1);
  bounds.stop = bound(2);
  bounds.step = bound(3);
  context_.line = expr.line;
  return get_slice(context_, object, bounds);
}

Arguments Interpreter::evaluate_arguments(const Expr& expr) {
  Arguments arguments;
  for (size_t i = 1; i < expr.operands.size(); ++i)
    arguments.positional.push_back(evaluate(*expr.operands[i]));
  for (const auto& [name, operand] : expr.keywords) arguments.keyword.emplace_back(name, evaluate(*operand));
  context_.line = expr.line;
  return arguments;
}

Value Interpreter::evaluate_call(const Expr& expr, const Value* caller) {
  const Value callee = evaluate(*expr.operands[0]);
  Arguments arguments = evaluate_arguments(expr);
  if (caller != nullptr) arguments.keyword.emplace_back("caller", *caller);
  return call(callee, arguments);
}

Value Interpreter::evaluate_filter(const Expr& expr) {
  const bool test = expr.kind == ExprKind::kTest;
  if (expr.function == nullptr) context_.fail("there is no {} '{}'", test ? "test" : "filter", expr.name);
  const Value subject = evaluate(*expr.operands[0]);
  return expr.function(context_, subject, evaluate_arguments(expr));
}

Value Interpreter::evaluate_concat(const Expr& expr) {
  TextBuilder out(context_);
  for (const ExprPtr& operand : expr.operands) write_str(out, evaluate(*operand));
  return out.finish();
}

Value Interpreter::evaluate_compare(const Expr& expr) {
  Value left = evaluate(*expr.operands[0]);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    Value right = evaluate(*expr.operands[i + 1]);
    context_.line = expr.line;
    if (!test_relation(context_, expr.operators[i], left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::evaluate_conditional(const Expr& expr) {
  if (truthy(evaluate(*expr.operands[1]))) return evaluate(*expr.operands[0]);
  if (expr.operands[2] != nullptr) return evaluate(*expr.operands[2]);
  return undefined("the inline 'if' is false and has no 'else'");
}

}  // namespace claa::jinja
