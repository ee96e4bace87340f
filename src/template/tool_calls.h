// Tool calls as a template takes them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "template/chat_template.h"

namespace claa {

// True where the message is its tool calls, or reasoning, alone.
bool is_call_alone(const ChatMessage& message);

// The messages with an empty content in place of none, or none where no content is none.
std::optional<std::vector<ChatMessage>> with_empty_contents(std::vector<ChatMessage> messages);

// The messages with arguments of tool calls as JSON text in place of objects, or none where there are no
// calls.
std::optional<std::vector<ChatMessage>> with_text_arguments(std::vector<ChatMessage> messages);

// How often the text that is the template's own has the word that Python writes for none.
size_t count_nones(const RenderedChat& chat);

struct LostCall {
  size_t message, call;  // indices
};
// The first tool call that the text does not name behind those before it.
std::optional<LostCall> lost_call(const std::vector<ChatMessage>& messages, const RenderedChat& chat);

}  // namespace claa
