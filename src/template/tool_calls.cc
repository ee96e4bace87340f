#include "template/tool_calls.h"

#include <algorithm>
#include <utility>

namespace claa {
namespace {

using CalledMessages = std::vector<ChatMessage>;

// Const or not, as `value` is; null where it is no object with that member.
template <typename MaybeConst>
MaybeConst* member(MaybeConst& value, std::string_view name) {
  auto* object = std::get_if<TemplateValue::Object>(&value.data);
  if (object == nullptr) return nullptr;
  for (auto& [key, held] : *object)
    if (key == name) return &held;
  return nullptr;
}

std::string_view string_of(const TemplateValue* value) {
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(&value->data);
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

std::string_view function_name(const TemplateValue& call) {
  const TemplateValue* function = member(call, "function");
  return function == nullptr ? std::string_view() : string_of(member(*function, "name"));
}

// True where `text` names the call at `from` or later; moves `from` behind it. Some templates write the id of
// a call in place of its name.
bool find_call(const TemplateValue& call, std::string_view text, size_t& from) {
  for (const std::string_view word : {function_name(call), string_of(member(call, "id"))}) {
    const size_t at = text.find(word, from);
    if (word.empty() || at == std::string_view::npos) continue;
    from = at + word.size();
    return true;
  }
  return false;
}

}  // namespace

bool is_call_alone(const ChatMessage& message) {
  return message.none || (message.content.empty() && !message.tool_calls.empty());
}

std::optional<CalledMessages> with_empty_contents(CalledMessages messages) {
  bool changed = false;
  for (ChatMessage& message : messages) changed |= std::exchange(message.none, false);
  if (!changed) return std::nullopt;
  return messages;
}

std::optional<CalledMessages> with_text_arguments(CalledMessages messages) {
  bool changed = false;
  for (ChatMessage& message : messages) {
    for (size_t i = 0; i < std::min(message.tool_calls.size(), message.arguments.size()); ++i) {
      TemplateValue* function = member(message.tool_calls[i], "function");
      TemplateValue* arguments = function == nullptr ? nullptr : member(*function, "arguments");
      if (arguments == nullptr) continue;
      arguments->data = message.arguments[i];
      changed = true;
    }
  }
  if (!changed) return std::nullopt;
  return messages;
}

size_t count_nones(const RenderedChat& chat) {
  constexpr std::string_view kNone = "None";
  size_t count = 0;
  for (const TemplateSpan& span : chat.spans) {
    if (!span.special) continue;
    for (size_t at = span.text.find(kNone); at != std::string::npos; at = span.text.find(kNone, at + 1))
      ++count;
  }
  return count;
}

std::optional<LostCall> lost_call(const CalledMessages& messages, const RenderedChat& chat) {
  for (size_t i = 0; i < messages.size(); ++i) {
    size_t from = 0;
    for (size_t call = 0; call < messages[i].tool_calls.size(); ++call) {
      if (!find_call(messages[i].tool_calls[call], chat.calls[i], from)) return LostCall{i, call};
    }
  }
  return std::nullopt;
}

}  // namespace claa
