// ChatTemplate: turns a conversation into the prompt text a model was trained on, by running the Jinja
// template stored in the model file. A template is untrusted code, so it runs in an interpreter of our own
// with hard limits, and every byte of the result is marked: text of the template itself, or text a caller
// supplied. Only the former may hold control tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace claa {

// A JSON-like value handed to a template. Strings in it are a caller's data.
struct TemplateValue {
  using Array = std::vector<TemplateValue>;
  using Object = std::vector<std::pair<std::string, TemplateValue>>;
  std::variant<std::nullptr_t, bool, int64_t, double, std::string, Array, Object> data = nullptr;
};

struct ChatMessage {
  std::string role;
  std::string content;
  // The template sees [{"type": "text", "text": content}], as those of models that also take pictures want
  // it.
  bool parts = false;
  // The template sees none in place of the content, which is empty then, as beside tool calls.
  bool none = false;
  TemplateValue::Array tool_calls = {};  // no member of that name where there are none
  // Of each tool call: its arguments as JSON text, for templates that take no objects.
  std::vector<std::string> arguments = {};
  TemplateValue::Object more = {};  // further members, such as reasoning_content and tool_call_id
};

// A stretch of rendered text of one origin.
struct TemplateSpan {
  std::string text;
  bool special;  // true: text of the template (or bos/eos), in which control tokens may be recognised; false:
                 // a caller's data
};

// Bytes of a text.
struct TextRange {
  size_t begin = 0, end = 0;
};

struct RenderedChat {
  std::vector<TemplateSpan> spans;    // neighbours differ in `special`
  std::vector<std::string> contents;  // per message: what of its content stands in the text, in order
  std::vector<std::string> calls;     // the same of its tool calls
  // Per message: from the first byte of its content or tool calls in the text to the last before another
  // message's; empty without any.
  std::vector<TextRange> places;
};

struct TemplateLimits {
  uint64_t max_steps =
      10'000'000;       // one per node evaluated, and one for about 16 bytes handled: bounds time and memory
  int max_depth = 256;  // nesting of the source, of calls while rendering and of values; at most 1000
  uint64_t max_output = 64ull << 20;  // bytes of the rendered text and of any string on the way
};

// The date strftime_now() reports. Fixed unless the caller sets it, so that one prompt gives one result.
struct TemplateDate {
  int year = 2024;
  int month = 7;
  int day = 26;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

struct TemplateVariables {
  bool add_generation_prompt = false;
  std::string bos_token;
  std::string eos_token;
  TemplateDate date;
  // More variables by name, e.g. enable_thinking. `tools` and `documents` are none unless given here.
  std::vector<std::pair<std::string, TemplateValue>> extra;
};

// Immutable after construction: one object may render in several threads at once.
class ChatTemplate {
 public:
  // Parses `source`. Throws Error{kTemplate} with the line number.
  explicit ChatTemplate(std::string_view source, TemplateLimits limits = {});

  // Renders a conversation; neighbouring spans differ in `special`. The names of well-known roles count as
  // the template's own text, since templates make control tokens of them; other roles are data. Throws
  // Error{kTemplate} with the line number: the template's own raise_exception text, a limit that was
  // exceeded, or an operation on the wrong type.
  std::vector<TemplateSpan> render(std::span<const ChatMessage> messages,
                                   const TemplateVariables& variables) const;
  // As render(), and tells what of each message has arrived.
  RenderedChat render_chat(std::span<const ChatMessage> messages, const TemplateVariables& variables) const;

  // True if the template's code has the name; a word of its text is none.
  bool names(std::string_view name) const;
  // The same, or the code has it as a string, as in message['name'].
  bool mentions(std::string_view name) const;

 private:
  struct Program;
  std::shared_ptr<const Program> program_;
};

}  // namespace claa
