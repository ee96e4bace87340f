#include "template/tool_calls.h"

#include <algorithm>

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

void make_empty(CalledMessages& messages) {
  for (ChatMessage& message : messages) message.none = false;
}

void make_texts(CalledMessages& messages) {
  for (ChatMessage& message : messages) {
    for (size_t i = 0; i < std::min(message.tool_calls.size(), message.arguments.size()); ++i) {
      TemplateValue* function = member(message.tool_calls[i], "function");
      TemplateValue* arguments = function == nullptr ? nullptr : member(*function, "arguments");
      if (arguments != nullptr) arguments->data = message.arguments[i];
    }
  }
}

}  // namespace

bool is_call_alone(const ChatMessage& message) {
  return message.none || (message.content.empty() && !message.tool_calls.empty());
}

std::vector<CalledMessages> call_forms(const CalledMessages& messages) {
  std::vector<CalledMessages> forms;
  const bool nones = std::any_of(messages.begin(), messages.end(), [](const auto& m) { return m.none; });
  const bool calls =
      std::any_of(messages.begin(), messages.end(), [](const auto& m) { return !m.tool_calls.empty(); });
  if (nones) make_empty(forms.emplace_back(messages));
  if (calls) make_texts(forms.emplace_back(messages));
  if (nones && calls) {
    CalledMessages both = forms.back();
    make_empty(both);
    forms.push_back(std::move(both));
  }
  return forms;
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
