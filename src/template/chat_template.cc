#include "template/chat_template.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <set>
#include <stdexcept>

#include "template/jinja_eval.h"
#include "template/jinja_lexer.h"
#include "template/jinja_parser.h"

namespace claa {
namespace {

using jinja::Context;
using jinja::Value;

// No model's template comes near this size; what parsing builds is proportional to it.
constexpr size_t kMaxSource = 1u << 20;

Value to_value(Context& context, const TemplateValue& source, jinja::Origin origin) {
  jinja::DepthGuard guard(context);
  context.step();
  if (const auto* flag = std::get_if<bool>(&source.data)) return Value(*flag);
  if (const auto* integer = std::get_if<int64_t>(&source.data)) return Value(*integer);
  if (const auto* number = std::get_if<double>(&source.data)) return Value(*number);
  if (const auto* text = std::get_if<std::string>(&source.data)) return context.text(*text, origin);
  if (const auto* array = std::get_if<TemplateValue::Array>(&source.data)) {
    std::vector<Value> items;
    for (const TemplateValue& item : *array) items.push_back(to_value(context, item, origin));
    return context.list(std::move(items));
  }
  if (const auto* object = std::get_if<TemplateValue::Object>(&source.data)) {
    std::vector<std::pair<Value, Value>> entries;
    for (const auto& [key, value] : *object)
      entries.emplace_back(context.text(key, origin), to_value(context, value, origin));
    return context.dict(std::move(entries));
  }
  return Value(jinja::None{});
}

// Templates write '<|' + role + '|>'. These names make no control token that the template did not mean.
jinja::Origin origin_of_role(std::string_view role) {
  static constexpr std::string_view kKnown[] = {"system", "user", "assistant", "tool", "developer"};
  const bool known = std::find(std::begin(kKnown), std::end(kKnown), role) != std::end(kKnown);
  return known ? jinja::kFromTemplate : jinja::kFromCaller;
}

Value content_value(Context& context, const ChatMessage& message, jinja::Origin origin) {
  if (message.none) return Value(jinja::None{});
  const Value text = context.text(message.content, origin);
  if (!message.parts) return text;
  return context.list(
      {context.dict({{context.text("type"), context.text("text")}, {context.text("text"), text}})});
}

Value to_value(Context& context, const ChatMessage& message, size_t index) {
  std::vector<std::pair<Value, Value>> members{
      {context.text("role"), context.text(message.role, origin_of_role(message.role))},
      {context.text("content"), content_value(context, message, jinja::origin_of_content(index))}};
  for (const auto& [name, value] : message.more)
    members.emplace_back(context.text(name), to_value(context, value, jinja::kFromCaller));
  if (!message.tool_calls.empty()) {
    std::vector<Value> calls;
    for (const TemplateValue& call : message.tool_calls)
      calls.push_back(to_value(context, call, jinja::origin_of_calls(index)));
    members.emplace_back(context.text("tool_calls"), context.list(std::move(calls)));
  }
  return context.dict(std::move(members));
}

Value to_value(Context& context, std::span<const ChatMessage> messages) {
  std::vector<Value> items;
  for (size_t i = 0; i < messages.size(); ++i) items.push_back(to_value(context, messages[i], i));
  return context.list(std::move(items));
}

void check_date(const TemplateDate& date) {
  const bool valid = date.year >= 1 && date.year <= 9999 && date.month >= 1 && date.month <= 12 &&
                     date.day >= 1 && date.day <= 31 && date.hour >= 0 && date.hour < 24 &&
                     date.minute >= 0 && date.minute < 60 && date.second >= 0 && date.second <= 60;
  if (!valid) {
    fail(ErrorCode::kInvalidArgument, "the date {}-{}-{} {}:{}:{} of a chat template is not valid", date.year,
         date.month, date.day, date.hour, date.minute, date.second);
  }
}

RenderedChat to_rendered(const jinja::Text& text, size_t messages) {
  RenderedChat chat;
  chat.contents.resize(messages);
  chat.calls.resize(messages);
  chat.places.resize(messages);
  size_t begin = 0, last = messages;  // last: the message before
  for (const auto& run : text.runs()) {
    const std::string_view bytes = text.view().substr(begin, run.end - begin);
    const bool special = run.origin == jinja::kFromTemplate;
    if (chat.spans.empty() || chat.spans.back().special != special) chat.spans.push_back({"", special});
    chat.spans.back().text += bytes;
    if (run.origin >= jinja::kFromMessages) {
      const size_t index = jinja::message_of(run.origin);
      (run.origin == jinja::origin_of_content(index) ? chat.contents : chat.calls)[index] += bytes;
      TextRange& place = chat.places[index];
      if (place.end == 0) place.begin = begin;
      // What a template repeats later does not make everything between a part of the message.
      if (place.end == 0 || index == last) place.end = run.end;
      last = index;
    }
    begin = run.end;
  }
  return chat;
}

void set_variables(jinja::Interpreter& interpreter, Context& context, std::span<const ChatMessage> messages,
                   const TemplateVariables& variables) {
  interpreter.set_variable("messages", to_value(context, messages));
  interpreter.set_variable("add_generation_prompt", Value(variables.add_generation_prompt));
  interpreter.set_variable("bos_token", context.text(variables.bos_token));
  interpreter.set_variable("eos_token", context.text(variables.eos_token));
  interpreter.set_variable("tools", Value(jinja::None{}));
  interpreter.set_variable("documents", Value(jinja::None{}));
  for (const auto& [name, value] : variables.extra)
    interpreter.set_variable(name, to_value(context, value, jinja::kFromCaller));
}

// The standard library throws this when limits far above the defaults let a template ask for too much.
template <typename Work>
auto within_memory(const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kTemplate, "chat template: it asks for more memory than there is");
  } catch (const std::length_error&) {
    fail(ErrorCode::kTemplate, "chat template: it asks for more memory than there can be");
  }
}

}  // namespace

struct ChatTemplate::Program {
  jinja::Block block;
  std::set<std::string, std::less<>> names;    // in the code, of variables and of all else
  std::set<std::string, std::less<>> strings;  // in the code
  TemplateLimits limits;
};

ChatTemplate::ChatTemplate(std::string_view source, TemplateLimits limits) {
  if (source.size() > kMaxSource) {
    fail(ErrorCode::kTemplate, "chat template: it has {} bytes, at most {} are allowed", source.size(),
         kMaxSource);
  }
  program_ = within_memory([&] {
    Context context(limits);
    auto program = std::make_shared<Program>();
    std::vector<jinja::Token> tokens = jinja::tokenize(source, context);
    for (const jinja::Token& token : tokens) {
      if (token.kind == jinja::TokenKind::kName) program->names.insert(token.text);
      if (token.kind == jinja::TokenKind::kString) program->strings.insert(token.text);
    }
    program->block = jinja::parse_template(std::move(tokens), context);
    program->limits = limits;
    return program;
  });
}

bool ChatTemplate::names(std::string_view name) const {
  return program_->names.contains(name);
}

bool ChatTemplate::mentions(std::string_view name) const {
  return names(name) || program_->strings.contains(name);
}

std::vector<TemplateSpan> ChatTemplate::render(std::span<const ChatMessage> messages,
                                               const TemplateVariables& variables) const {
  return render_chat(messages, variables).spans;
}

RenderedChat ChatTemplate::render_chat(std::span<const ChatMessage> messages,
                                       const TemplateVariables& variables) const {
  check_date(variables.date);
  return within_memory([&] {
    Context context(program_->limits, variables.date);
    jinja::Interpreter interpreter(context);
    set_variables(interpreter, context, messages, variables);
    return to_rendered(interpreter.run(program_->block), messages.size());
  });
}

}  // namespace claa
