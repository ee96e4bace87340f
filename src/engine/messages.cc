#include "engine/messages.h"

#include <algorithm>

#include "core/check.h"
#include "engine/template_value.h"
#include "text/visible.h"

namespace claa {
namespace {

// An argument string that is JSON is given as what it says, and an empty one as no arguments, since templates
// write objects in their own forms. Any other string stays one.
TemplateValue read_arguments(const Json& given, std::string_view where) {
  if (!given.is(Json::Kind::kString)) return template_value(given, where);
  if (given.text.empty()) return {TemplateValue::Object{}};
  const std::optional<Json> said = parse_json(given.text, kMostChatValues);
  return said ? template_value(*said, where) : TemplateValue{given.text};
}

// A new one where there is none of that name.
TemplateValue& member_of(TemplateValue::Object& object, std::string_view name) {
  const auto found =
      std::find_if(object.begin(), object.end(), [name](const auto& member) { return member.first == name; });
  return found == object.end() ? object.emplace_back(name, TemplateValue{}).second : found->second;
}

TemplateValue read_call(const Json& call, std::string_view where, std::string& arguments) {
  const Json* function = call.find("function");
  const bool has_function = function != nullptr && function->is(Json::Kind::kObject);
  const Json* name = has_function ? function->find("name") : nullptr;
  if (name == nullptr || !name->is(Json::Kind::kString) || name->text.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: a tool call must be an object with a function that has a name, not {}", where,
         visible_line(call.source.substr(0, 80)));
  }
  TemplateValue value = template_value(call, where);
  auto& members = std::get<TemplateValue::Object>(value.data);
  auto& parts = std::get<TemplateValue::Object>(member_of(members, "function").data);
  const Json* given = function->find("arguments");
  const bool is_text = given != nullptr && given->is(Json::Kind::kString);
  arguments = given == nullptr ? "{}" : is_text ? given->text : std::string(given->source);
  member_of(parts, "arguments") =
      given == nullptr ? TemplateValue{TemplateValue::Object{}} : read_arguments(*given, where);
  return value;
}

// True where the template has a place for reasoning.
bool add_reasoning(const std::string& reasoning, const ChatTemplate& chat, ChatMessage& message) {
  bool found = false;
  for (const char* name : {"reasoning_content", "reasoning", "thinking"}) {
    if (!chat.mentions(name)) continue;
    message.more.emplace_back(name, TemplateValue{reasoning});
    found = true;
  }
  return found;
}

}  // namespace

void check_content(const Message& message, std::string_view where) {
  if (message.content || !message.tool_calls.empty() || !message.reasoning.empty()) return;
  fail(ErrorCode::kInvalidArgument, "{} has no content; give a text, or leave the message out", where);
}

void read_tool_calls(std::string_view text, std::string_view where, ChatMessage& message) {
  const std::optional<Json> calls = parse_json(text, kMostChatValues);
  if (!calls || !calls->is(Json::Kind::kArray)) {
    fail(ErrorCode::kInvalidArgument, "{}: tool calls must be a JSON array, not {}", where,
         visible_line(text.substr(0, 80)));
  }
  for (const Json& call : calls->items)
    message.tool_calls.push_back(read_call(call, where, message.arguments.emplace_back()));
}

TemplateValue::Array read_tools(std::string_view text) {
  const std::optional<Json> tools = parse_json(text, kMostChatValues);
  const bool valid = tools && tools->is(Json::Kind::kArray) &&
                     std::all_of(tools->items.begin(), tools->items.end(),
                                 [](const Json& tool) { return tool.is(Json::Kind::kObject); });
  if (!valid) {
    fail(ErrorCode::kInvalidArgument, "tools must be a JSON array of objects, not {}",
         visible_line(text.substr(0, 80)));
  }
  return std::get<TemplateValue::Array>(template_value(*tools, "tools").data);
}

std::vector<ChatMessage> chat_messages(const Request& request, const ChatTemplate& chat, std::string& note) {
  std::vector<ChatMessage> messages;
  if (request.messages.empty()) {
    if (request.system) messages.push_back({"system", *request.system});
    messages.push_back({"user", request.prompt});
    return messages;
  }
  bool reasoning_lost = false;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const Message& given = request.messages[i];
    const std::string where = fmt::format("message {}", i + 1);
    check_content(given, where);
    ChatMessage& message = messages.emplace_back();
    message.role = given.role;
    message.content = given.content.value_or("");
    message.none = !given.content;
    if (!given.reasoning.empty()) reasoning_lost |= !add_reasoning(given.reasoning, chat, message);
    if (!given.tool_calls.empty()) read_tool_calls(given.tool_calls, where, message);
    if (!given.name.empty()) message.more.emplace_back("name", TemplateValue{given.name});
    if (!given.tool_call_id.empty())
      message.more.emplace_back("tool_call_id", TemplateValue{given.tool_call_id});
  }
  if (reasoning_lost) note = "the chat template has no place for the reasoning of earlier answers";
  return messages;
}

void add_tools(const Request& request, const ChatTemplate& chat, TemplateVariables& variables) {
  if (request.tools.empty()) return;
  TemplateValue::Array tools = read_tools(request.tools);
  if (!tools.empty() && !chat.names("tools")) {
    fail(ErrorCode::kInvalidArgument,
         "the model's chat template has no place for tools; leave them out, or use a model file whose "
         "template "
         "has one");
  }
  const bool twice = std::any_of(variables.extra.begin(), variables.extra.end(),
                                 [](const auto& variable) { return variable.first == "tools"; });
  if (twice)
    fail(ErrorCode::kInvalidArgument,
         "the request has tools, and the arguments of the chat template have some, too; leave out one");
  variables.extra.emplace_back("tools", TemplateValue{std::move(tools)});
}

}  // namespace claa
