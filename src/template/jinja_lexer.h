// Splits a template into text and the tokens of its tags, with whitespace control as Jinja has it under
// trim_blocks and lstrip_blocks (the settings chat templates are written for).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "template/jinja_context.h"

namespace claa::jinja {

enum class TokenKind {
  kText,
  kPrintBegin,
  kPrintEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;  // of a string: its value; of a number: its digits
};

// Throws Error{kTemplate}; `context` gives the limits and carries the line.
std::vector<Token> tokenize(std::string_view source, Context& context);

}  // namespace claa::jinja
