// Tool calls as a template takes them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "template/chat_template.h"

namespace claa {

// True where the message is its tool calls, or reasoning, alone.
bool is_call_alone(const ChatMessage& message);

// Other forms of messages with tool calls, for templates that do not take the first: contents that are empty
// in place of none, arguments as JSON text in place of objects, and both. None without tool calls and without
// a content of none.
std::vector<std::vector<ChatMessage>> call_forms(const std::vector<ChatMessage>& messages);

// How often the text that is the template's own has the word that Python writes for none.
size_t count_nones(const RenderedChat& chat);

struct LostCall {
  size_t message, call;  // indices
};
// The first tool call that the text does not name behind those before it.
std::optional<LostCall> lost_call(const std::vector<ChatMessage>& messages, const RenderedChat& chat);

}  // namespace claa
