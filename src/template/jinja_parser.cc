#include "template/jinja_parser.h"

#include <algorithm>
#include <iterator>

#include "template/jinja_filters.h"
#include "template/jinja_literal.h"

namespace claa::jinja {

Expr ExprParser::make(ExprKind kind) const {
  Expr expr;
  expr.kind = kind;
  expr.line = current().line;
  return expr;
}

ExprPtr ExprParser::finish(Expr expr) const {
  int depth = 0;
  for (const ExprPtr& operand : expr.operands)
    depth = std::max(depth, operand == nullptr ? 0 : operand->depth);
  for (const auto& [name, operand] : expr.keywords) depth = std::max(depth, operand->depth);
  expr.depth = depth + 1;
  if (expr.depth > context_.max_depth()) {
    context_.line = expr.line;
    context_.fail("nested deeper than {} levels", context_.max_depth());
  }
  return std::make_unique<const Expr>(std::move(expr));
}

ExprPtr ExprParser::finish(ExprKind kind, ExprPtr first, ExprPtr second) const {
  Expr expr = make(kind);
  expr.line = first->line;
  expr.operands.push_back(std::move(first));
  if (second != nullptr) expr.operands.push_back(std::move(second));
  return finish(std::move(expr));
}

ExprPtr ExprParser::parse_expression() {
  DepthGuard guard(context_);
  ExprPtr value = parse_or();
  while (skip_name("if")) {
    Expr expr = make(ExprKind::kConditional);
    ++conditional_;
    expr.operands.push_back(std::move(value));
    expr.operands.push_back(parse_or());
    expr.operands.push_back(skip_name("else") ? parse_expression() : nullptr);
    --conditional_;
    value = finish(std::move(expr));
  }
  return value;
}

ExprPtr ExprParser::parse_or() {
  ExprPtr left = parse_and();
  while (skip_name("or")) left = finish(ExprKind::kOr, std::move(left), parse_and());
  return left;
}

ExprPtr ExprParser::parse_and() {
  ExprPtr left = parse_not();
  while (skip_name("and")) left = finish(ExprKind::kAnd, std::move(left), parse_not());
  return left;
}

ExprPtr ExprParser::parse_not() {
  if (!is_name("not")) return parse_compare();
  DepthGuard guard(context_);
  take();
  return finish(ExprKind::kNot, parse_not());
}

bool ExprParser::take_compare_operator(Operator& out) {
  static constexpr std::pair<std::string_view, Operator> kOperators[] = {
      {"==", Operator::kEqual},     {"!=", Operator::kNotEqual}, {"<", Operator::kLess},
      {"<=", Operator::kLessEqual}, {">", Operator::kGreater},   {">=", Operator::kGreaterEqual}};
  for (const auto& [text, op] : kOperators) {
    if (!skip_operator(text)) continue;
    out = op;
    return true;
  }
  if (skip_name("in")) {
    out = Operator::kIn;
    return true;
  }
  if (is_name("not") && ahead().kind == TokenKind::kName && ahead().text == "in") {
    at_ += 2;
    out = Operator::kNotIn;
    return true;
  }
  return false;
}

ExprPtr ExprParser::parse_compare() {
  ExprPtr left = parse_sum();
  Expr expr = make(ExprKind::kCompare);
  expr.line = left->line;
  for (Operator op; take_compare_operator(op);) {
    if (expr.operands.empty()) expr.operands.push_back(std::move(left));
    expr.operators.push_back(op);
    expr.operands.push_back(parse_sum());
  }
  return expr.operands.empty() ? std::move(left) : finish(std::move(expr));
}

ExprPtr ExprParser::parse_sum() {
  ExprPtr left = parse_concat();
  while (is_operator("+") || is_operator("-")) {
    Expr expr = make(ExprKind::kBinary);
    expr.operators.push_back(take().text == "+" ? Operator::kAdd : Operator::kSubtract);
    expr.operands.push_back(std::move(left));
    expr.operands.push_back(parse_concat());
    left = finish(std::move(expr));
  }
  return left;
}

ExprPtr ExprParser::parse_concat() {
  ExprPtr left = parse_product();
  if (!is_operator("~")) return left;
  Expr expr = make(ExprKind::kConcat);
  expr.operands.push_back(std::move(left));
  while (skip_operator("~")) expr.operands.push_back(parse_product());
  return finish(std::move(expr));
}

ExprPtr ExprParser::parse_product() {
  static constexpr std::pair<std::string_view, Operator> kOperators[] = {{"*", Operator::kMultiply},
                                                                         {"/", Operator::kDivide},
                                                                         {"//", Operator::kFloorDivide},
                                                                         {"%", Operator::kModulo}};
  ExprPtr left = parse_power();
  while (true) {
    const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                     [this](const auto& entry) { return is_operator(entry.first); });
    if (found == std::end(kOperators)) return left;
    Expr expr = make(ExprKind::kBinary);
    take();
    expr.operators.push_back(found->second);
    expr.operands.push_back(std::move(left));
    expr.operands.push_back(parse_power());
    left = finish(std::move(expr));
  }
}

ExprPtr ExprParser::parse_power() {
  ExprPtr left = parse_unary(true);
  while (is_operator("**")) {
    Expr expr = make(ExprKind::kBinary);
    take();
    expr.operators.push_back(Operator::kPower);
    expr.operands.push_back(std::move(left));
    expr.operands.push_back(parse_unary(true));
    left = finish(std::move(expr));
  }
  return left;
}

ExprPtr ExprParser::parse_unary(bool with_filters) {
  ExprPtr operand;
  if (is_operator("-") || is_operator("+")) {
    DepthGuard guard(context_);
    const ExprKind kind = take().text == "-" ? ExprKind::kNegative : ExprKind::kPositive;
    operand = finish(kind, parse_unary(false));
  } else {
    operand = parse_primary();
  }
  operand = parse_postfix(std::move(operand));
  return with_filters ? parse_filters(std::move(operand), false) : std::move(operand);
}

ExprPtr ExprParser::parse_postfix(ExprPtr operand) {
  while (true) {
    if (is_operator(".")) {
      operand = parse_attribute(std::move(operand));
    } else if (is_operator("[")) {
      operand = parse_subscript(std::move(operand));
    } else if (is_operator("(")) {
      Expr call = make(ExprKind::kCall);
      call.operands.push_back(std::move(operand));
      parse_arguments(call);
      operand = finish(std::move(call));
    } else {
      return operand;
    }
  }
}

// With `until_end_of_tag`, for {% filter %} and block {% set %}: only filters may follow.
ExprPtr ExprParser::parse_filters(ExprPtr subject, bool until_end_of_tag) {
  while (true) {
    if (skip_operator("|")) {
      subject = parse_filter(std::move(subject));
    } else if (!until_end_of_tag && is_name("is")) {
      subject = parse_test(std::move(subject));
    } else if (!until_end_of_tag && is_operator("(")) {
      Expr call = make(ExprKind::kCall);
      call.operands.push_back(std::move(subject));
      parse_arguments(call);
      subject = finish(std::move(call));
    } else {
      return subject;
    }
  }
}

ExprPtr ExprParser::parse_filter(ExprPtr subject) {
  Expr expr = make(ExprKind::kFilter);
  expr.name = expect_any_name();
  while (skip_operator(".")) expr.name += "." + expect_any_name();
  expr.function = find_filter(expr.name);
  if (expr.function == nullptr && conditional_ == 0) {
    context_.line = expr.line;
    context_.fail("there is no filter '{}'", expr.name);
  }
  expr.operands.push_back(std::move(subject));
  if (is_operator("(")) parse_arguments(expr);
  return finish(std::move(expr));
}

ExprPtr ExprParser::parse_test(ExprPtr subject) {
  expect_name("is");
  const bool negated = skip_name("not");
  Expr expr = make(ExprKind::kTest);
  expr.name = expect_any_name();
  while (skip_operator(".")) expr.name += "." + expect_any_name();
  expr.function = find_test(expr.name);
  if (expr.function == nullptr && conditional_ == 0) {
    context_.line = expr.line;
    context_.fail("there is no test '{}'", expr.name);
  }
  expr.operands.push_back(std::move(subject));
  const TokenKind kind = current().kind;
  if (is_operator("(")) {
    parse_arguments(expr);
  } else if (kind == TokenKind::kString || kind == TokenKind::kInteger || kind == TokenKind::kFloat ||
             is_operator("[") || is_operator("{") ||
             (kind == TokenKind::kName && !is_name("else") && !is_name("or") && !is_name("and") &&
              !is_name("if"))) {
    // One argument may follow without parentheses: x is divisibleby 3.
    if (is_name("is")) context_.fail("tests cannot be chained with 'is'");
    expr.operands.push_back(parse_postfix(parse_primary()));
  }
  ExprPtr test = finish(std::move(expr));
  return negated ? finish(ExprKind::kNot, std::move(test)) : std::move(test);
}

void ExprParser::parse_arguments(Expr& call) {
  expect_operator("(");
  while (!is_operator(")")) {
    if (is_operator("*") || is_operator("**")) context_.fail("unpacking arguments with '*' is not supported");
    if (current().kind == TokenKind::kName && ahead().kind == TokenKind::kOperator && ahead().text == "=") {
      std::string name = take().text;
      take();
      call.keywords.emplace_back(std::move(name), parse_expression());
    } else {
      if (!call.keywords.empty()) fail_unexpected("a named argument");
      call.operands.push_back(parse_expression());
    }
    if (!is_operator(")")) expect_operator(",");
  }
  take();
}

bool ExprParser::is_operator(std::string_view text) const {
  return current().kind == TokenKind::kOperator && current().text == text;
}

bool ExprParser::is_name(std::string_view text) const {
  return current().kind == TokenKind::kName && current().text == text;
}

Token ExprParser::take() {
  context_.line = current().line;
  if (current().kind == TokenKind::kEnd) return current();
  return std::move(tokens_[at_++]);
}

bool ExprParser::skip_operator(std::string_view text) {
  const bool found = is_operator(text);
  if (found) take();
  return found;
}

bool ExprParser::skip_name(std::string_view text) {
  const bool found = is_name(text);
  if (found) take();
  return found;
}

void ExprParser::expect_operator(std::string_view text) {
  if (!skip_operator(text)) fail_unexpected(fmt::format("'{}'", text));
}

void ExprParser::expect_name(std::string_view text) {
  if (!skip_name(text)) fail_unexpected(fmt::format("'{}'", text));
}

std::string ExprParser::expect_any_name() {
  if (current().kind != TokenKind::kName) fail_unexpected("a name");
  return take().text;
}

void ExprParser::expect(TokenKind kind) {
  if (current().kind != kind) fail_unexpected("the end of the tag");
  take();
}

void ExprParser::fail_unexpected(std::string_view wanted) const {
  const Token& token = current();
  context_.line = token.line;
  switch (token.kind) {
    case TokenKind::kEnd:
      context_.fail("expected {}, but the template ends", wanted);
    case TokenKind::kPrintEnd:
    case TokenKind::kBlockEnd:
      context_.fail("expected {}, but the tag ends", wanted);
    case TokenKind::kString:
      context_.fail("expected {}, not a string", wanted);
    default:
      context_.fail("expected {}, not '{}'", wanted, token.text.substr(0, 60));
  }
}

}  // namespace claa::jinja
