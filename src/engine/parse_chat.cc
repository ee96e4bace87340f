// A chat in the form of OpenAI's API, from JSON that nobody has checked.
#include <algorithm>
#include <array>

#include "claa/chat.h"
#include "core/check.h"
#include "core/counts.h"
#include "engine/messages.h"
#include "text/json.h"
#include "text/visible.h"

namespace claa {
namespace {

class ChatReader {
 public:
  explicit ChatReader(std::string_view name) : name_(name) {}

  Chat read(std::string_view text) const {
    size_t stopped = 0;
    const std::optional<Json> json = parse_json(text, kMostChatValues, &stopped);
    if (!json) refuse_json(text, stopped);
    Chat chat;
    const Json* messages = &*json;
    if (json->is(Json::Kind::kObject)) {
      check_members(*json, {"messages", "tools"}, name_);
      messages = json->find("messages");
      if (const Json* tools = json->find("tools"); tools != nullptr && !is_empty(*tools)) {
        chat.tools = tools->source;
        read_tools(chat.tools);
      }
    }
    if (messages == nullptr || !messages->is(Json::Kind::kArray) || messages->items.empty())
      fail(ErrorCode::kInvalidArgument,
           "{} has no messages; give a JSON array of them, or an object with \"messages\"", name_);
    for (const Json& message : messages->items) {
      const std::string where = fmt::format("{}: message {}", name_, chat.messages.size() + 1);
      chat.messages.push_back(read_message(message, where));
    }
    return chat;
  }

 private:
  [[noreturn]] void refuse_json(std::string_view text, size_t stopped) const {
    const std::string_view before = text.substr(0, stopped);
    const size_t line_begin = before.rfind('\n') + 1;  // 0 in the first line
    fail(ErrorCode::kInvalidArgument,
         "{} is no JSON, or has more than {} levels or {} values: see line {}, byte {}", name_, kMostJsonDeep,
         group_digits(kMostChatValues), std::count(before.begin(), before.end(), '\n') + 1,
         stopped - line_begin + 1);
  }

  static bool is_empty(const Json& json) {
    return json.is(Json::Kind::kNull) || (json.is(Json::Kind::kArray) && json.items.empty());
  }

  // Nothing that is given goes lost.
  template <size_t N>
  static void check_members(const Json& object, const std::string_view (&known)[N], std::string_view where) {
    for (size_t i = 0; i < object.names.size(); ++i) {
      const bool is_known = std::find(std::begin(known), std::end(known), object.names[i]) != std::end(known);
      if (is_known || is_empty(object.items[i])) continue;
      fail(ErrorCode::kInvalidArgument, "{} has '{}', which is not read; leave it out", where,
           visible_line(std::string_view(object.names[i]).substr(0, 60)));
    }
  }

  // Empty where there is no such member.
  static std::string text_of(const Json& object, std::string_view key, std::string_view where) {
    const Json* found = object.find(key);
    if (found == nullptr || found->is(Json::Kind::kNull)) return {};
    if (!found->is(Json::Kind::kString)) {
      fail(ErrorCode::kInvalidArgument, "{}: '{}' must be a text, not {}", where, key,
           visible_line(found->source.substr(0, 60)));
    }
    return found->text;
  }

  static std::string join_parts(const Json& parts, std::string_view where) {
    std::string joined;
    for (const Json& part : parts.items) {
      const Json* type = part.find("type");
      const Json* text = part.find("text");
      if (type == nullptr || type->text != "text" || text == nullptr || !text->is(Json::Kind::kString)) {
        fail(ErrorCode::kInvalidArgument, "{}: claa reads parts of type \"text\", not {}", where,
             visible_line(part.source.substr(0, 60)));
      }
      if (&part != &parts.items.front()) joined += '\n';
      joined += text->text;
    }
    return joined;
  }

  static std::optional<std::string> content_of(const Json& message, std::string_view where) {
    const Json* content = message.find("content");
    if (content == nullptr || content->is(Json::Kind::kNull)) return std::nullopt;
    if (content->is(Json::Kind::kArray)) return join_parts(*content, where);
    return text_of(message, "content", where);
  }

  static std::string reasoning_of(const Json& message, std::string_view where) {
    std::string reasoning;
    for (const char* key : {"reasoning_content", "reasoning", "thinking"}) {
      std::string text = text_of(message, key, where);
      if (text.empty() || text == reasoning) continue;
      if (!reasoning.empty())
        fail(ErrorCode::kInvalidArgument, "{} has two texts of reasoning; leave out '{}'", where, key);
      reasoning = std::move(text);
    }
    return reasoning;
  }

  static Message read_message(const Json& json, std::string_view where) {
    if (!json.is(Json::Kind::kObject)) {
      fail(ErrorCode::kInvalidArgument, "{} is {}; it must be an object with a role and a content", where,
           visible_line(json.source.substr(0, 60)));
    }
    check_members(json,
                  {"role", "content", "reasoning_content", "reasoning", "thinking", "tool_calls",
                   "tool_call_id", "name"},
                  where);
    Message message;
    message.role = text_of(json, "role", where);
    if (message.role.empty()) fail(ErrorCode::kInvalidArgument, "{} has no role", where);
    message.content = content_of(json, where);
    message.reasoning = reasoning_of(json, where);
    message.tool_call_id = text_of(json, "tool_call_id", where);
    message.name = text_of(json, "name", where);
    if (const Json* calls = json.find("tool_calls"); calls != nullptr && !is_empty(*calls)) {
      message.tool_calls = calls->source;
      ChatMessage ignored;
      read_tool_calls(message.tool_calls, where, ignored);
    }
    check_content(message, where);
    return message;
  }

  std::string_view name_;
};

}  // namespace

Chat parse_chat(std::string_view json, std::string_view name) {
  return ChatReader(name).read(json);
}

}  // namespace claa
