// Any bytes as a chat: they are refused by its name, or become messages of which a template writes each,
// under small limits.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "claa/error.h"
#include "engine/messages.h"
#include "template/conversation.h"

namespace {

constexpr std::string_view kTemplate =
    "{{ tools | tojson }}{% for m in messages %}<{{ m.role }}>{{ m.reasoning_content }}{{ m.content + '' "
    "}}{{ m.name }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name + c.function.arguments }}{% endfor %}{% endfor %}";

void expect(bool condition) {
  if (!condition) std::abort();
}

void render(const claa::Chat& given) {
  claa::TemplateLimits limits;
  limits.max_steps = 100'000;
  limits.max_output = 1u << 16;
  static const claa::ChatTemplate chat(kTemplate, limits);
  claa::Request request;
  request.messages = given.messages;
  request.tools = given.tools;
  claa::TemplateVariables variables;
  std::string note;
  add_tools(request, chat, variables);
  std::vector<claa::ChatMessage> messages = chat_messages(request, chat, note);
  expect(messages.size() == given.messages.size());
  try {
    const auto rendered = claa::render_conversation(chat, std::move(messages), variables);
    size_t size = 0;
    for (const auto& span : rendered.spans) size += span.text.size();
    expect(rendered.places.size() == given.messages.size());
    for (const claa::TextRange& place : rendered.places)
      expect(place.begin <= place.end && place.end <= size);
  } catch (const claa::Error& error) {
    expect(error.code() == claa::ErrorCode::kTemplate);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  claa::Chat chat;
  try {
    chat = claa::parse_chat(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz.json");
  } catch (const claa::Error& error) {
    expect(error.code() == claa::ErrorCode::kInvalidArgument);
    return 0;
  }
  render(chat);
  return 0;
}
