// Expressions without operators: literals, names, brackets, and what may follow an operand.
#include <algorithm>

#include "template/jinja_literal.h"
#include "template/jinja_parser.h"

namespace claa::jinja {

ExprPtr ExprParser::parse_primary() {
  const TokenKind kind = current().kind;
  if (kind == TokenKind::kName) return parse_name();
  if (kind == TokenKind::kString) return parse_string();
  if (kind == TokenKind::kInteger || kind == TokenKind::kFloat) {
    Expr expr = make(ExprKind::kConstant);
    const std::string digits = take().text;
    expr.constant =
        kind == TokenKind::kInteger ? parse_integer(digits, context_) : parse_float(digits, context_);
    return finish(std::move(expr));
  }
  if (is_operator("(")) return parse_parenthesized();
  if (is_operator("[")) return parse_list();
  if (is_operator("{")) return parse_dict();
  fail_unexpected("an expression");
}

ExprPtr ExprParser::parse_name() {
  Expr expr = make(ExprKind::kConstant);
  expr.name = take().text;
  const std::string& name = expr.name;
  if (name == "true" || name == "True") {
    expr.constant = Value(true);
  } else if (name == "false" || name == "False") {
    expr.constant = Value(false);
  } else if (name == "none" || name == "None") {
    expr.constant = Value(None{});
  } else {
    expr.kind = ExprKind::kName;
    uses_.varargs |= name == "varargs";
    uses_.kwargs |= name == "kwargs";
    uses_.caller |= name == "caller";
  }
  return finish(std::move(expr));
}

ExprPtr ExprParser::parse_string() {
  Expr expr = make(ExprKind::kConstant);
  std::string value = take().text;
  while (current().kind == TokenKind::kString) value += take().text;
  expr.constant = Value(std::make_shared<const Text>(std::move(value), kFromTemplate));
  return finish(std::move(expr));
}

ExprPtr ExprParser::parse_parenthesized() {
  Expr empty = make(ExprKind::kTuple);
  expect_operator("(");
  ExprPtr inside = is_operator(")") ? finish(std::move(empty)) : parse_tuple();
  expect_operator(")");
  return inside;
}

ExprPtr ExprParser::parse_list() {
  Expr expr = make(ExprKind::kList);
  expect_operator("[");
  while (!is_operator("]")) {
    expr.operands.push_back(parse_expression());
    if (!is_operator("]")) expect_operator(",");
  }
  take();
  return finish(std::move(expr));
}

ExprPtr ExprParser::parse_dict() {
  Expr expr = make(ExprKind::kDict);
  expect_operator("{");
  while (!is_operator("}")) {
    expr.operands.push_back(parse_expression());
    expect_operator(":");
    expr.operands.push_back(parse_expression());
    if (!is_operator("}")) expect_operator(",");
  }
  take();
  return finish(std::move(expr));
}

bool ExprParser::at_tuple_end() const {
  return current().kind == TokenKind::kPrintEnd || current().kind == TokenKind::kBlockEnd ||
         current().kind == TokenKind::kEnd || is_operator(")") || is_operator("=") || is_name("in");
}

ExprPtr ExprParser::parse_tuple(TupleItems items) {
  Expr tuple = make(ExprKind::kTuple);
  bool has_comma = false;
  while (!at_tuple_end() || (!has_comma && tuple.operands.empty())) {
    tuple.operands.push_back(items == TupleItems::kFull ? parse_expression() : parse_or());
    if (!skip_operator(",")) break;
    has_comma = true;
  }
  return has_comma ? finish(std::move(tuple)) : std::move(tuple.operands.front());
}

ExprPtr ExprParser::parse_attribute(ExprPtr operand) {
  expect_operator(".");
  Expr expr = make(ExprKind::kAttribute);
  if (current().kind == TokenKind::kInteger) {
    ExprPtr index = parse_primary();
    return finish(ExprKind::kItem, std::move(operand), std::move(index));
  }
  expr.name = expect_any_name();
  expr.operands.push_back(std::move(operand));
  return finish(std::move(expr));
}

ExprPtr ExprParser::parse_subscript(ExprPtr operand) {
  Expr expr = make(ExprKind::kItem);
  expect_operator("[");
  expr.operands.push_back(std::move(operand));
  ExprPtr parts[3];
  size_t colons = 0;
  while (!is_operator("]")) {
    if (skip_operator(":")) {
      if (++colons > 2) fail_unexpected("']'");
    } else if (parts[colons] != nullptr) {
      fail_unexpected("']'");
    } else {
      parts[colons] = parse_expression();
    }
  }
  if (colons == 0 && parts[0] == nullptr) fail_unexpected("an index");
  take();
  if (colons > 0) expr.kind = ExprKind::kSlice;
  for (size_t i = 0; i < (colons > 0 ? 3u : 1u); ++i) expr.operands.push_back(std::move(parts[i]));
  return finish(std::move(expr));
}

}  // namespace claa::jinja
