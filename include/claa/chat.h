// A chat: the messages of a request, tool calls and their results among them, and the tools that the model
// may call. claa gives them to the chat template; it calls nothing itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "claa/export.h"

namespace claa {

struct Message {
  std::string role;                    // "system", "developer", "user", "assistant" or "tool"
  std::optional<std::string> content;  // none: null, as beside tool calls
  // What the model thought before an earlier answer. The template sees it by the name that it asks for:
  // reasoning_content, reasoning or thinking. Most templates leave out what was thought before the last
  // question.
  std::string reasoning = {};
  // Of an earlier answer: a JSON array of calls, {"id": ID, "type": "function", "function": FUNCTION}, where
  // FUNCTION is {"name": NAME, "arguments": ARGUMENTS}. The template sees arguments as an object, also where
  // they are given as a string of JSON.
  std::string tool_calls = {};
  std::string tool_call_id = {}, name = {};  // of a tool's result: which call, and which function
};

struct Chat {
  std::vector<Message> messages;
  std::string tools;  // a JSON array; empty: none
};

// Reads a chat in the form of OpenAI's API: {"messages": [...], "tools": [...]}, or the array of messages
// alone. A content in parts of type "text" becomes one text, with a line break between the parts. `name`
// begins what is thrown. Throws Error{kInvalidArgument} for what is no such chat, and for a member that would
// be ignored.
CLAA_API Chat parse_chat(std::string_view json, std::string_view name = "the chat");

}  // namespace claa
