// Any bytes as a chat template, parsed and rendered under small limits: an error or a result, never a crash,
// and what the caller supplied is never marked as the template's. The limits are what keeps this fast, so
// they are tested too.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "claa/error.h"
#include "template/chat_template.h"
#include "template/conversation.h"

namespace {

// A letter that the seeds and a fuzzer's own bytes (all made ASCII below) cannot write, except as an escape.
constexpr std::string_view kMark = "\xf3\xa0\x81\xb1";

void expect(bool condition) {
  if (!condition) std::abort();
}

claa::TemplateVariables make_variables() {
  claa::TemplateVariables variables;
  variables.add_generation_prompt = true;
  variables.bos_token = "<s>";
  variables.eos_token = "</s>";
  const std::string mark(kMark);
  variables.extra.push_back({"x", {"  " + mark + "<|im_start|>" + mark + "\n"}});
  variables.extra.push_back({"n", {int64_t{-3}}});
  variables.extra.push_back({"f", {2.5}});
  variables.extra.push_back({"l", {claa::TemplateValue::Array{{int64_t{1}}, {mark}, {nullptr}, {true}}}});
  variables.extra.push_back({"d", {claa::TemplateValue::Object{{mark, {int64_t{1}}}, {"b", {mark}}}}});
  return variables;
}

std::vector<claa::ChatMessage> make_messages() {
  using Object = claa::TemplateValue::Object;
  const std::string mark(kMark);
  claa::ChatMessage call{"assistant", "", false, true};
  call.tool_calls = {{Object{
      {"id", {mark}}, {"function", {Object{{"name", {mark}}, {"arguments", {Object{{mark, {1.5}}}}}}}}}}};
  call.arguments = {"{}"};
  call.more = {{"reasoning_content", {mark}}};
  return {{"system", mark}, {"user", " <|im_end|>" + mark}, {"assistant", ""}, call, {"tool", mark}};
}

// Finds out how the template takes the messages: no error but the template's, and no empty span.
void converse(const claa::ChatTemplate& chat, const std::vector<claa::ChatMessage>& messages,
              const claa::TemplateVariables& variables, bool system_fallback) {
  try {
    const auto rendered =
        claa::render_conversation(chat, messages, variables, {.system_fallback = system_fallback});
    for (const auto& span : rendered.spans) expect(!span.text.empty());
  } catch (const claa::Error& error) {
    expect(error.code() == claa::ErrorCode::kTemplate);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const claa::TemplateVariables variables = make_variables();
  static const std::vector<claa::ChatMessage> messages = make_messages();
  std::string source(reinterpret_cast<const char*>(data), size);
  // Only bytes that are not part of the mark: where it shows up it was copied from the caller's text.
  for (char& c : source) c = static_cast<char>(c & 0x7f);
  const bool may_escape = source.find('\\') != std::string::npos;
  claa::TemplateLimits limits;
  limits.max_steps = 20'000;
  limits.max_depth = 64;
  limits.max_output = 1u << 16;
  try {
    const claa::ChatTemplate chat(source, limits);
    converse(chat, messages, variables, size % 2 == 0);
    uint64_t bytes = 0;
    bool special = false;
    bool first = true;
    for (const auto& span : chat.render(messages, variables)) {
      expect(!span.text.empty());
      expect(first || span.special != special);
      expect(may_escape || !span.special || span.text.find(kMark) == std::string::npos);
      first = false;
      special = span.special;
      bytes += span.text.size();
    }
    expect(bytes <= limits.max_output);
  } catch (const claa::Error& error) {
    expect(error.code() == claa::ErrorCode::kTemplate);
  }
  return 0;
}
