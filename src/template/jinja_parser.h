// Parses a template into statements and expressions; the grammar, including precedence, is Jinja's.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "template/jinja_ast.h"
#include "template/jinja_context.h"
#include "template/jinja_lexer.h"

namespace claa::jinja {

// The template that tokenize() has split. Throws Error{kTemplate} with the line.
Block parse_template(std::vector<Token> tokens, Context& context);

// Expressions, over a list of tokens that a statement parser shares.
class ExprParser {
 public:
  ExprParser(std::vector<Token> tokens, Context& context) : tokens_(std::move(tokens)), context_(context) {}

 protected:
  // The form of a tuple's items: kNoConditional leaves out `x if y else z`, whose `if` would belong to a
  // loop.
  enum class TupleItems { kFull, kNoConditional };

  ExprPtr parse_expression();
  ExprPtr parse_tuple(TupleItems items = TupleItems::kFull);  // an expression, or several with commas between
  ExprPtr parse_filters(ExprPtr subject, bool until_end_of_tag);
  ExprPtr parse_postfix(ExprPtr operand);
  ExprPtr parse_primary();

  Expr make(ExprKind kind) const;
  ExprPtr finish(Expr expr) const;  // computes and checks the depth
  ExprPtr finish(ExprKind kind, ExprPtr first, ExprPtr second = nullptr) const;

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool is_operator(std::string_view text) const;
  bool is_name(std::string_view text) const;
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  void expect_operator(std::string_view text);
  void expect_name(std::string_view text);
  std::string expect_any_name();
  void expect(TokenKind kind);
  Token take();
  [[noreturn]] void fail_unexpected(std::string_view wanted) const;

  // The special names that the macro being parsed mentions.
  struct MacroUses {
    bool varargs = false;
    bool kwargs = false;
    bool caller = false;
  };

  std::vector<Token> tokens_;
  Context& context_;
  size_t at_ = 0;
  int conditional_ =
      0;  // depth inside branches that may never run: an unknown filter fails there only when reached
  MacroUses uses_;

 private:
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filters);
  ExprPtr parse_parenthesized();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_string();
  ExprPtr parse_name();
  ExprPtr parse_attribute(ExprPtr operand);
  ExprPtr parse_subscript(ExprPtr operand);
  ExprPtr parse_filter(ExprPtr subject);
  ExprPtr parse_test(ExprPtr subject);
  void parse_arguments(Expr& call);
  bool at_tuple_end() const;
  bool take_compare_operator(Operator& out);
};

}  // namespace claa::jinja
