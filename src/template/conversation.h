// A conversation as its chat template wants it: contents as text or as parts, a system message where there is
// a place for one, and nothing left out without a word.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "template/chat_template.h"

namespace claa {

struct ConversationOptions {
  // A system message for which the template has no place stands before the user's first message, with a blank
  // line between.
  bool system_fallback = false;
};

struct RenderedConversation {
  std::vector<TemplateSpan> spans;  // neighbours differ in `special`
  std::string note;                 // what was done otherwise than the messages say at first; mostly empty
  std::vector<TextRange> places;    // per message that was given: where it stands in the text, if anywhere
};

// The system message before the user's first message, with a blank line between.
std::string with_system(std::string_view system, std::string_view user);

// Renders `messages`, of which the first may be of the role "system". How the template takes them is found
// out by rendering short words in their place:
// - contents that do not arrive as a string are given as parts;
// - a system message that does not arrive, or that the template refuses, is refused with the way out, or
//   moved where the options say so;
// - a content of none beside tool calls is given as an empty text where the template fails with none, or
// writes
//   it as a word, and arguments as JSON text where the template fails with objects;
// - an empty system message is given to a template that then leaves out a text of its own, and to no other.
// The text is then compared with what was given. Throws Error{kTemplate} where a message or a tool call is
// left out, as a whole, and what ChatTemplate::render() throws; `note` says where a part is missing.
RenderedConversation render_conversation(const ChatTemplate& chat, std::vector<ChatMessage> messages,
                                         const TemplateVariables& variables,
                                         const ConversationOptions& options = {});

}  // namespace claa
