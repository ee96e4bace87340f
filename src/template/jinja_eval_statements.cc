// Statements of the interpreter.
#include "template/jinja_access.h"
#include "template/jinja_eval.h"
#include "template/jinja_print.h"
#include "template/jinja_scope.h"

namespace claa::jinja {

void Interpreter::set_variable(std::string_view name, Value value) {
  for (auto& [known, current] : scope_->variables) {
    if (known != name) continue;
    current = std::move(value);
    return;
  }
  context_.step(4);
  scope_->variables.emplace_back(name, std::move(value));
}

Text Interpreter::run(const Block& block) {
  TextBuilder out(context_);
  execute(block, out);
  return out.take();
}

Interpreter::Flow Interpreter::execute(const Block& block, TextBuilder& out) {
  DepthGuard guard(context_);
  for (const auto& statement : block) {
    const Flow flow = execute(*statement, out);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute(const Stmt& statement, TextBuilder& out) {
  context_.step();
  context_.line = statement.line;
  switch (statement.kind) {
    case StmtKind::kText:
      out.append(*statement.text.text());
      return Flow::kNext;
    case StmtKind::kPrint: {
      const Value value = evaluate(*statement.value);
      context_.line = statement.line;
      write_str(out, value);
      return Flow::kNext;
    }
    case StmtKind::kIf:
      return execute_if(statement, out);
    case StmtKind::kFor:
      return execute_for(statement, out);
    case StmtKind::kSet:
      execute_set(*statement.target, evaluate(*statement.value));
      return Flow::kNext;
    case StmtKind::kSetBlock:
      execute_set(*statement.target, capture(statement));
      return Flow::kNext;
    case StmtKind::kMacro:
      set_variable(statement.macro->name, make_macro(*statement.macro));
      return Flow::kNext;
    case StmtKind::kCallBlock:
      execute_call_block(statement, out);
      return Flow::kNext;
    case StmtKind::kFilter:
      write_str(out, capture(statement));
      return Flow::kNext;
    case StmtKind::kWith:
    case StmtKind::kScope:
      return execute_scope(statement, out);
    case StmtKind::kBreak:
      return Flow::kBreak;
    default:
      return Flow::kContinue;
  }
}

Interpreter::Flow Interpreter::execute_if(const Stmt& statement, TextBuilder& out) {
  for (const Branch& branch : statement.branches) {
    if (truthy(evaluate(*branch.condition))) return execute(branch.body, out);
  }
  return execute(statement.otherwise, out);
}

// The items that a loop's `if` lets through. The condition sees the loop's variables, but not `loop`.
ListPtr Interpreter::filter_loop_items(const Stmt& statement, ListPtr items) {
  if (statement.condition == nullptr) return items;
  std::vector<Value> passed;
  for (const Value& item : items->items) {
    ScopeGuard scope(*this);
    execute_set(*statement.target, item);
    context_.reserve_list(1);
    if (truthy(evaluate(*statement.condition))) passed.push_back(item);
  }
  return std::get<ListPtr>(context_.list(std::move(passed)).data());
}

Interpreter::Flow Interpreter::execute_for(const Stmt& statement, TextBuilder& out) {
  const Value source = evaluate(*statement.value);
  context_.line = statement.line;
  const ListPtr items = filter_loop_items(statement, iterate(context_, source));
  if (items->items.empty()) return execute(statement.otherwise, out);
  const auto loop = std::make_shared<Loop>();
  loop->items = items;
  // A value that holds the loop nests one level deeper than its items.
  if (items->depth >= context_.max_depth())
    context_.fail("nested deeper than {} levels", context_.max_depth());
  bool completed = false;
  for (size_t i = 0; i < items->items.size(); ++i) {
    ScopeGuard scope(*this);
    context_.step(2);
    loop->index = i;
    set_variable("loop", Value(LoopPtr(loop)));
    context_.line = statement.line;
    execute_set(*statement.target, items->items[i]);
    const Flow flow = execute(statement.body, out);
    if (flow == Flow::kBreak) break;
    completed = completed || flow == Flow::kNext;
  }
  // As Jinja does: a loop of which no round came to its end, because of `continue` or `break`, counts as
  // empty.
  return completed ? Flow::kNext : execute(statement.otherwise, out);
}

Interpreter::Flow Interpreter::execute_scope(const Stmt& statement, TextBuilder& out) {
  std::vector<Value> values;
  // All values of {% with %} are computed before any of its names is defined.
  for (const auto& [name, expr] : statement.assignments) values.push_back(evaluate(*expr));
  ScopeGuard scope(*this);
  for (size_t i = 0; i < values.size(); ++i) set_variable(statement.assignments[i].first, values[i]);
  return execute(statement.body, out);
}

void Interpreter::execute_set(const Expr& target, const Value& value) {
  DepthGuard guard(context_);
  if (target.kind == ExprKind::kName) return set_variable(target.name, value);
  if (target.kind == ExprKind::kTuple) {
    const ListPtr items = iterate(context_, value);
    if (items->items.size() != target.operands.size()) {
      context_.fail("{} values cannot be assigned to {} names", items->items.size(), target.operands.size());
    }
    for (size_t i = 0; i < items->items.size(); ++i) execute_set(*target.operands[i], items->items[i]);
    return;
  }
  Namespace* space = evaluate(*target.operands[0]).name_space();
  if (space == nullptr) context_.fail("only attributes of a namespace() can be set, not '{}'", target.name);
  context_.step(4 + space->attributes.size() / 8);
  for (auto& [name, current] : space->attributes) {
    if (name != target.name) continue;
    current = value;
    return;
  }
  space->attributes.emplace_back(target.name, value);
}

Value Interpreter::capture(const Stmt& statement) {
  TextBuilder text(context_);
  {
    ScopeGuard scope(*this);
    execute(statement.body, text);
  }
  const Value outer = std::exchange(captured_, text.finish());
  Value result = evaluate(*statement.value);
  captured_ = outer;
  return result;
}

void Interpreter::execute_call_block(const Stmt& statement, TextBuilder& out) {
  const Value caller = make_macro(*statement.macro);
  write_str(out, evaluate_call(*statement.value, &caller));
}

}  // namespace claa::jinja
