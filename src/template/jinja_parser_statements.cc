// Statements: the {% ... %} tags.
#include <algorithm>
#include <initializer_list>

#include "template/jinja_parser.h"

namespace claa::jinja {
namespace {

class StatementParser : public ExprParser {
 public:
  using ExprParser::ExprParser;

  Block parse() {
    Block block = parse_block({});
    if (current().kind != TokenKind::kEnd) fail_tag();
    return block;
  }

 private:
  using StmtPtr = std::unique_ptr<const Stmt>;

  Stmt make_statement(StmtKind kind) const {
    Stmt statement;
    statement.kind = kind;
    statement.line = current().line;
    return statement;
  }

  static StmtPtr done(Stmt statement) { return std::make_unique<const Stmt>(std::move(statement)); }

  // Statements up to a tag named in `ends`, whose name is then the current token.
  Block parse_block(std::initializer_list<std::string_view> ends) {
    DepthGuard guard(context_);
    const int line = context_.line;
    Block block;
    while (current().kind != TokenKind::kEnd) {
      if (current().kind == TokenKind::kText) {
        Stmt text = make_statement(StmtKind::kText);
        text.text = Value(std::make_shared<const Text>(take().text, kFromTemplate));
        block.push_back(done(std::move(text)));
      } else if (current().kind == TokenKind::kPrintBegin) {
        Stmt print = make_statement(StmtKind::kPrint);
        take();
        print.value = parse_tuple();
        expect(TokenKind::kPrintEnd);
        block.push_back(done(std::move(print)));
      } else {
        take();
        if (std::any_of(ends.begin(), ends.end(), [this](std::string_view end) { return is_name(end); }))
          return block;
        block.push_back(parse_tag());
      }
    }
    if (ends.size() > 0) {
      context_.line = line;
      context_.fail("a block is not closed: '{}' is missing", *(ends.end() - 1));
    }
    return block;
  }

  void end_tag(std::string_view name) {
    expect_name(name);
    expect(TokenKind::kBlockEnd);
  }

  [[noreturn]] void fail_tag() const {
    if (current().kind != TokenKind::kName) fail_unexpected("the name of a tag");
    context_.line = current().line;
    context_.fail("the tag '{}' is unknown or has no place here", current().text);
  }

  StmtPtr parse_tag() {
    using Parse = StmtPtr (StatementParser::*)();
    static constexpr std::pair<std::string_view, Parse> kTags[] = {
        {"if", &StatementParser::parse_if},           {"for", &StatementParser::parse_for},
        {"set", &StatementParser::parse_set},         {"macro", &StatementParser::parse_macro},
        {"call", &StatementParser::parse_call_block}, {"filter", &StatementParser::parse_filter_block},
        {"with", &StatementParser::parse_with},       {"generation", &StatementParser::parse_generation},
        {"break", &StatementParser::parse_jump},      {"continue", &StatementParser::parse_jump},
    };
    for (const auto& [name, parse] : kTags) {
      if (is_name(name)) return (this->*parse)();
    }
    fail_tag();
  }

  StmtPtr parse_if() {
    Stmt statement = make_statement(StmtKind::kIf);
    ++conditional_;
    while (is_name("if") || is_name("elif")) {
      take();
      Branch branch;
      branch.condition = parse_tuple(TupleItems::kNoConditional);
      expect(TokenKind::kBlockEnd);
      branch.body = parse_block({"elif", "else", "endif"});
      statement.branches.push_back(std::move(branch));
    }
    if (skip_name("else")) {
      expect(TokenKind::kBlockEnd);
      statement.otherwise = parse_block({"endif"});
    }
    --conditional_;
    end_tag("endif");
    return done(std::move(statement));
  }

  StmtPtr parse_for() {
    Stmt statement = make_statement(StmtKind::kFor);
    expect_name("for");
    statement.target = parse_target();
    expect_name("in");
    statement.value = parse_tuple(TupleItems::kNoConditional);
    if (skip_name("if")) statement.condition = parse_expression();
    if (is_name("recursive")) context_.fail("recursive loops are not supported");
    expect(TokenKind::kBlockEnd);
    ++loops_;
    statement.body = parse_block({"else", "endfor"});
    --loops_;
    if (skip_name("else")) {
      expect(TokenKind::kBlockEnd);
      statement.otherwise = parse_block({"endfor"});
    }
    end_tag("endfor");
    return done(std::move(statement));
  }

  // Parses a target of an assignment: a name, or names separated by commas, with or without parentheses.
  ExprPtr parse_target() {
    DepthGuard guard(context_);
    Expr tuple = make(ExprKind::kTuple);
    bool has_comma = false;
    do {
      if (has_comma && current().kind != TokenKind::kName && !is_operator("(")) break;
      if (skip_operator("(")) {
        tuple.operands.push_back(parse_target());
        expect_operator(")");
      } else {
        tuple.operands.push_back(parse_target_name());
      }
    } while (skip_operator(",") && (has_comma = true));
    return has_comma ? finish(std::move(tuple)) : std::move(tuple.operands.front());
  }

  ExprPtr parse_target_name() {
    Expr name = make(ExprKind::kName);
    name.name = expect_any_name();
    static constexpr std::string_view kReserved[] = {"true",  "false", "none", "True",
                                                     "False", "None",  "loop"};
    if (std::find(std::begin(kReserved), std::end(kReserved), name.name) != std::end(kReserved)) {
      context_.fail("'{}' cannot be assigned to", name.name);
    }
    return finish(std::move(name));
  }

  StmtPtr parse_set() {
    Stmt statement = make_statement(StmtKind::kSet);
    expect_name("set");
    if (ahead().kind == TokenKind::kOperator && ahead().text == ".") {
      ExprPtr object = parse_target_name();
      expect_operator(".");
      Expr attribute = make(ExprKind::kAttribute);
      attribute.name = expect_any_name();
      attribute.operands.push_back(std::move(object));
      statement.target = finish(std::move(attribute));
    } else {
      statement.target = parse_target();
    }
    if (skip_operator("=")) {
      statement.value = parse_tuple();
      expect(TokenKind::kBlockEnd);
      return done(std::move(statement));
    }
    if (statement.target->kind == ExprKind::kTuple) fail_unexpected("'='");
    statement.kind = StmtKind::kSetBlock;
    parse_captured(statement, "endset");
    return done(std::move(statement));
  }

  StmtPtr parse_filter_block() {
    Stmt statement = make_statement(StmtKind::kFilter);
    // `{% filter upper %}` is parsed as `{% filter | upper %}` would be.
    Token& tag = tokens_[at_];
    tag.kind = TokenKind::kOperator;
    tag.text = "|";
    parse_captured(statement, "endfilter");
    return done(std::move(statement));
  }

  // Parses filters, the end of the tag, and a body whose text goes through them.
  void parse_captured(Stmt& statement, std::string_view end) {
    statement.value = parse_filters(finish(make(ExprKind::kCaptured)), true);
    expect(TokenKind::kBlockEnd);
    statement.body = parse_block({end});
    end_tag(end);
  }

  StmtPtr parse_macro() {
    Stmt statement = make_statement(StmtKind::kMacro);
    expect_name("macro");
    MacroDef macro;
    macro.name = expect_any_name();
    parse_parameters(macro);
    parse_macro_body(macro, "endmacro");
    statement.macro = std::make_unique<const MacroDef>(std::move(macro));
    return done(std::move(statement));
  }

  StmtPtr parse_call_block() {
    Stmt statement = make_statement(StmtKind::kCallBlock);
    expect_name("call");
    MacroDef macro;
    macro.name = "caller";
    if (is_operator("(")) parse_parameters(macro);
    statement.value = parse_expression();
    if (statement.value->kind != ExprKind::kCall) context_.fail("{{% call %}} needs a call of a macro");
    parse_macro_body(macro, "endcall");
    statement.macro = std::make_unique<const MacroDef>(std::move(macro));
    return done(std::move(statement));
  }

  void parse_parameters(MacroDef& macro) {
    expect_operator("(");
    while (!is_operator(")")) {
      macro.parameters.push_back(parse_target_name()->name);
      ExprPtr otherwise = skip_operator("=") ? parse_expression() : nullptr;
      if (otherwise == nullptr && !macro.defaults.empty() && macro.defaults.back() != nullptr) {
        context_.fail("a parameter without a default follows one that has one");
      }
      macro.defaults.push_back(std::move(otherwise));
      if (!is_operator(")")) expect_operator(",");
    }
    take();
  }

  void parse_macro_body(MacroDef& macro, std::string_view end) {
    macro.line = current().line;
    expect(TokenKind::kBlockEnd);
    const MacroUses outer = std::exchange(uses_, MacroUses());
    const int loops = std::exchange(loops_, 0);
    macro.body = parse_block({end});
    macro.uses_varargs = uses_.varargs;
    macro.uses_kwargs = uses_.kwargs;
    macro.uses_caller = uses_.caller;
    uses_ = {uses_.varargs || outer.varargs, uses_.kwargs || outer.kwargs, uses_.caller || outer.caller};
    loops_ = loops;
    end_tag(end);
  }

  StmtPtr parse_with() {
    Stmt statement = make_statement(StmtKind::kWith);
    expect_name("with");
    while (current().kind != TokenKind::kBlockEnd) {
      if (!statement.assignments.empty()) expect_operator(",");
      std::string name = parse_target_name()->name;
      expect_operator("=");
      statement.assignments.emplace_back(std::move(name), parse_expression());
    }
    take();
    statement.body = parse_block({"endwith"});
    end_tag("endwith");
    return done(std::move(statement));
  }

  // Marks the assistant's part for training; for rendering it is only a scope.
  StmtPtr parse_generation() {
    Stmt statement = make_statement(StmtKind::kScope);
    end_tag("generation");
    const int loops = std::exchange(loops_, 0);
    statement.body = parse_block({"endgeneration"});
    loops_ = loops;
    end_tag("endgeneration");
    return done(std::move(statement));
  }

  StmtPtr parse_jump() {
    Stmt statement = make_statement(is_name("break") ? StmtKind::kBreak : StmtKind::kContinue);
    const std::string name = take().text;
    if (loops_ == 0) context_.fail("'{}' outside of a loop", name);
    expect(TokenKind::kBlockEnd);
    return done(std::move(statement));
  }

  int loops_ = 0;  // loops around the current place
};

}  // namespace

Block parse_template(std::vector<Token> tokens, Context& context) {
  context.line = 1;
  return StatementParser(std::move(tokens), context).parse();
}

}  // namespace claa::jinja
