// From a request's messages to those of a chat template.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "claa/engine.h"
#include "template/chat_template.h"

namespace claa {

// What a chat may have of JSON values, each of which takes about a hundred bytes.
inline constexpr size_t kMostChatValues = size_t{1} << 20;

// The messages of the request, or its system message and prompt. `note`: what the template has no place for.
// Throws Error{kInvalidArgument} for messages that are no such.
std::vector<ChatMessage> chat_messages(const Request& request, const ChatTemplate& chat, std::string& note);

// Adds Request::tools to the variables of the template. Throws Error{kInvalidArgument} for what is no array
// of objects, and where the template has no place for tools.
void add_tools(const Request& request, const ChatTemplate& chat, TemplateVariables& variables);

// Throws Error{kInvalidArgument} for a message without a content that has nothing in its place.
void check_content(const Message& message, std::string_view where);

// The tool calls of a message, whose JSON array is `text`, and their arguments as text. `where` begins what
// is thrown.
void read_tool_calls(std::string_view text, std::string_view where, ChatMessage& message);

// Throws Error{kInvalidArgument} for what is no JSON array of objects.
TemplateValue::Array read_tools(std::string_view text);

}  // namespace claa
