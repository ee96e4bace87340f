// The parsed form of a template. It is built once and then only read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "template/jinja_value.h"

namespace claa::jinja {

enum class ExprKind {
  kConstant,     // constant
  kName,         // name
  kCaptured,     // the text of the surrounding {% filter %} or block {% set %}
  kList,         // operands
  kTuple,        // operands
  kDict,         // operands: key, value, key, value ...
  kAttribute,    // operands[0].name
  kItem,         // operands[0][operands[1]]
  kSlice,        // operands[0][start:stop:step], null when left out
  kCall,         // operands[0](other operands, keywords)
  kFilter,       // operands[0] | name(other operands, keywords)
  kTest,         // operands[0] is name(other operands, keywords)
  kNot,          // operands[0]
  kNegative,     // operands[0]
  kPositive,     // operands[0]
  kAnd,          // two operands
  kOr,           // two operands
  kBinary,       // two operands, operators[0]
  kConcat,       // operands joined as text
  kCompare,      // operands[0] operators[0] operands[1] operators[1] operands[2] ...
  kConditional,  // operands: value, condition, otherwise (null when left out)
};

enum class Operator {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

struct Expr {
  ExprKind kind;
  int line;
  int depth = 1;  // levels of the tree below, including this one
  std::string name;
  Value constant;
  FunctionPtr function = nullptr;  // the filter or test; null when none has that name
  std::vector<ExprPtr> operands;
  std::vector<std::pair<std::string, ExprPtr>> keywords;
  std::vector<Operator> operators;
};

enum class StmtKind {
  kText,       // text
  kPrint,      // value
  kIf,         // branches, otherwise
  kFor,        // target, value (what is walked), condition (may be null), body, otherwise
  kSet,        // target, value
  kSetBlock,   // target, value (filters on the captured text), body
  kMacro,      // macro
  kCallBlock,  // value (the call), macro (its body as `caller`)
  kFilter,     // value (filters on the captured text), body
  kWith,       // assignments, body
  kScope,      // body
  kBreak,
  kContinue,
};

struct Stmt;
using Block = std::vector<std::unique_ptr<const Stmt>>;

struct MacroDef {
  std::string name;
  int line = 0;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  // one per parameter, null when it has no default
  Block body;
  bool uses_varargs = false;
  bool uses_kwargs = false;
  bool uses_caller = false;
};

struct Branch {
  ExprPtr condition;
  Block body;
};

struct Stmt {
  StmtKind kind;
  int line;
  Value text;
  ExprPtr target;
  ExprPtr value;
  ExprPtr condition;
  std::vector<Branch> branches;
  Block body;
  Block otherwise;
  std::unique_ptr<const MacroDef> macro;
  std::vector<std::pair<std::string, ExprPtr>> assignments;
};

}  // namespace claa::jinja
