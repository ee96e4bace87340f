// Chats with tools, tool calls and reasoning: the text of each is what transformers makes of it
// (tools/make_tool_goldens.py), and what is no chat is refused by a sentence.
#include "claa/chat.h"

#include <gmock/gmock.h>

#include "core/usize.h"
#include "engine/messages.h"
#include "template/chat_template_support.h"
#include "template/conversation.h"

namespace claa {
namespace {

namespace json = boost::json;
using test::to_string;
using testing::HasSubstr;

struct RenderedRequest {
  RenderedConversation conversation;
  std::string note;
  std::string text() const { return test::joined(conversation.spans); }
};

RenderedRequest render(const ChatTemplate& chat, const Chat& given, TemplateVariables variables = {}) {
  Request request;
  request.messages = given.messages;
  request.tools = given.tools;
  add_tools(request, chat, variables);
  RenderedRequest result;
  std::vector<ChatMessage> messages = chat_messages(request, chat, result.note);
  result.conversation = render_conversation(chat, std::move(messages), variables);
  return result;
}

std::string rendered(std::string_view source, std::string_view given) {
  return test::marked(render(ChatTemplate(source), parse_chat(given)).conversation.spans);
}

std::string refusal(std::string_view source, std::string_view given) {
  try {
    return "no refusal, but: " + rendered(source, given);
  } catch (const Error& error) {
    return error.what();
  }
}

void check_golden(const json::value& root, const json::object& golden) {
  json::object given = root.at("chats").at(golden.at("chat").as_string()).as_object();
  if (!golden.at("tools").as_bool()) given.erase("tools");
  const ChatTemplate chat(
      test::read_file(test_data("tool_templates/" + to_string(golden.at("template")) + ".jinja")));
  TemplateVariables variables;
  variables.bos_token = to_string(root.at("bos_token"));
  variables.eos_token = to_string(root.at("eos_token"));
  variables.add_generation_prompt = true;
  for (const auto& entry : golden.at("variables").as_object())
    variables.extra.emplace_back(std::string(entry.key()), test::to_template_value(entry.value()));
  std::string text;
  try {
    text = render(chat, parse_chat(json::serialize(given)), variables).text();
  } catch (const Error& error) {
    const auto* raised = golden.if_contains("raised");
    EXPECT_FALSE(golden.contains("output")) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(raised != nullptr ? to_string(*raised) : "leaves out tool call 1"));
    return;
  }
  ASSERT_TRUE(golden.contains("output")) << text;
  EXPECT_EQ(text, to_string(golden.at("output")));
}

TEST(Chats, TextsAreThoseOfTransformers) {
  const json::value root = json::parse(test::read_file(test_data("tool_templates/goldens.json")));
  size_t outputs = 0;
  for (const auto& golden : root.at("goldens").as_array()) {
    SCOPED_TRACE(json::serialize(golden));
    check_golden(root, golden.as_object());
    outputs += golden.as_object().contains("output") ? 1 : 0;
  }
  EXPECT_GE(outputs, 100u);
}

constexpr const char* kCall =
    R"({"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
        "function": {"name": "f", "arguments": "{\"x\": [1, \"<|end|>\"]}"}}]})";

std::string chat_with_call(const std::string& more = "") {
  return R"({"messages": [{"role": "user", "content": "q"}, )" + std::string(kCall) + more + "]}";
}

// What a caller gives makes no control token.
TEST(Chats, CallsAndToolsAreData) {
  const std::string messages =
      "{% for m in messages %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}<|call|>"
      "{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}";
  EXPECT_EQ(rendered("{{ tools | tojson }}" + messages,
                     R"({"tools": [{"a": "<|end|>"}], "messages": [{"role": "user", "content": "q"}]})"),
            "[{\"[a]\": \"[<|end|>]\"}][q]");
  EXPECT_EQ(rendered(messages, chat_with_call()), "[q]<|call|>[f]{\"[x]\": [1, \"[<|end|>]\"]}");
}

// Most templates were tried with one of these two, and fail or write a word with the other.
TEST(Chats, ContentOfNoneIsEmptyWhereTheTemplateNeedsAText) {
  for (const char* content : {"{{ m.content }}", "{{ m.content + '' }}", "{{ m.content | trim }}"}) {
    const std::string source =
        "{% for m in messages %}" + std::string(content) +
        "{% for c in m.tool_calls or [] %}:{{ c.function.name }}{% endfor %}{% endfor %}";
    EXPECT_EQ(rendered(source, chat_with_call()), "[q]:[f]") << content;
  }
  EXPECT_EQ(rendered("{% for m in messages %}{{ m.content if m.content is not none else "
                     "m.tool_calls[0].function.name }}{% endfor %}",
                     chat_with_call()),
            "[qf]");
}

TEST(Chats, ArgumentsAreTextWhereTheTemplateJoinsThem) {
  EXPECT_EQ(rendered("{% for m in messages %}{% if m.tool_calls %}{{ m.tool_calls[0].function.name + "
                     "m.tool_calls[0].function.arguments }}{% else %}{{ m.content }}{% endif %}{% endfor %}",
                     chat_with_call()),
            "[qf{\"x\": [1, \"<|end|>\"]}]");
}

// A none among the arguments is the template's to write.
TEST(Chats, ArgumentsStayObjectsWhereTheTemplateTakesThem) {
  constexpr const char* kArguments =
      R"([{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [{"function": {"name": "f",
          "arguments": "{\"x\": null}"}}]}])";
  EXPECT_EQ(rendered("{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name }}"
                     "{{ c.function.arguments.x if c.function.arguments is mapping else 'text' }}{% else %}"
                     "{{ m.content }}{% endfor %}{% endfor %}",
                     kArguments),
            "[qf]None");
}

TEST(Chats, NothingIsLeftOutInSilence) {
  constexpr const char* kTexts = "{% for m in messages %}{{ m.content or '' }}{% endfor %}";
  EXPECT_THAT(refusal(kTexts, chat_with_call()), HasSubstr("leaves out tool call 1 of 1 in message 2"));
  EXPECT_THAT(
      refusal(kTexts, R"({"messages": [{"role": "user", "content": "q"}], "tools": [{"name": "f"}]})"),
      HasSubstr("no place for tools"));
  const std::string twice =
      R"([{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [
          {"function": {"name": "f"}}, {"function": {"name": "f"}}]}])";
  constexpr const char* kFirst =
      "{% for m in messages %}{{ m.content or m.tool_calls[0].function.name }}{% endfor %}";
  EXPECT_THAT(refusal(kFirst, twice), HasSubstr("leaves out tool call 2 of 2 in message 2"));
  const auto note = [](const char* source, const char* given) {
    const RenderedRequest result = render(ChatTemplate(source), parse_chat(given));
    return result.note + result.conversation.note;
  };
  constexpr const char* kReasoned =
      R"([{"role": "assistant", "content": "a", "reasoning": "because"}, {"role": "user", "content": "q"}])";
  EXPECT_THAT(note(kTexts, kReasoned), HasSubstr("no place for the reasoning"));
  EXPECT_EQ(note("{% for m in messages %}{{ m['reasoning_content'] }}{{ m.content }}{% endfor %}", kReasoned),
            "");
  constexpr const char* kSaid =
      R"([{"role": "assistant", "content": "I look.", "tool_calls": [{"function": {"name": "f"}}]},
          {"role": "user", "content": "q"}])";
  constexpr const char* kCallOrText =
      "{% for m in messages %}{{ m.tool_calls[0].function.name if m.tool_calls else m.content }}{% endfor %}";
  EXPECT_THAT(note(kCallOrText, kSaid), HasSubstr("left out 6 of 6 characters of message 1"));
}

TEST(Chats, ReasoningByTheNameThatTheTemplateAsksFor) {
  for (const char* name : {"reasoning_content", "reasoning", "thinking"}) {
    const std::string given =
        R"([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", ")" + std::string(name) +
        R"(": "hm"}])";
    for (const char* asked : {"m.reasoning_content", "m['reasoning']", "m.get('thinking')"}) {
      EXPECT_EQ(
          rendered("{% for m in messages %}{{ " + std::string(asked) + " or '' }}{{ m.content }}{% endfor %}",
                   given),
          "[qhma]")
          << name << asked;
    }
  }
}

// Where the messages stand, for those who protect them; a later message may say what an earlier one says.
TEST(Chats, PlacesOfMessages) {
  const ChatTemplate chat(
      "user{% for m in messages %}<{{ m.content or '' }}{% for c in m.tool_calls or [] %}|{{ c.function.name "
      "}}="
      "{{ c.function.arguments.x[0] }}{{ c.function.arguments.x[1] }}{% endfor %}>{% endfor %}{{ "
      "messages[0].content }}");
  const RenderedRequest result =
      render(chat, parse_chat(chat_with_call(
                       R"(, {"role": "tool", "content": "user"}, {"role": "user", "content": "q"})")));
  std::vector<std::string> places;
  for (const TextRange& place : result.conversation.places)
    places.push_back(result.text().substr(place.begin, place.end - place.begin));
  EXPECT_EQ(places, (std::vector<std::string>{"q", "f=1<|end|>", "user", "q"}));
  EXPECT_EQ(result.conversation.places[2].begin, result.text().rfind("user"));
}

TEST(ParseChat, ReadsTheFormsOfRequests) {
  const Chat chat = parse_chat(
      R"({"tools": [ {"type": "function"} ], "messages": [
          {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
          {"role": "assistant", "content": null, "refusal": null, "annotations": [], "reasoning_content": "r",
           "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
          {"role": "tool", "content": "", "tool_call_id": "c", "name": "n"}]})");
  EXPECT_EQ(chat.tools, "[ {\"type\": \"function\"} ]");
  ASSERT_EQ(chat.messages.size(), 3u);
  EXPECT_EQ(chat.messages[0].content, "a\nb");
  EXPECT_FALSE(chat.messages[1].content.has_value());
  EXPECT_EQ(chat.messages[1].reasoning, "r");
  EXPECT_EQ(chat.messages[1].tool_calls, "[{\"function\": {\"name\": \"f\", \"arguments\": {}}}]");
  EXPECT_EQ(chat.messages[2].content, "");
  EXPECT_EQ(chat.messages[2].tool_call_id + chat.messages[2].name, "cn");
  EXPECT_EQ(parse_chat(R"([{"role": "user", "content": "q"}])").messages.size(), 1u);
}

TEST(ParseChat, SaysWhatIsWrong) {
  const auto why = [](std::string_view given) -> std::string {
    try {
      parse_chat(given, "'c.json'");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "nothing";
  };
  const auto message = [&](const std::string& members) {
    return why("[{\"role\": \"user\", \"content\": \"q\"}, {" + members + "}]");
  };
  EXPECT_THAT(why("[\n {\"role\": \"user\",\n  content: 1}]"), HasSubstr("'c.json' is no JSON"));
  EXPECT_THAT(why("[\n {\"role\": \"user\",\n  content: 1}]"), HasSubstr("line 3, byte 3"));
  EXPECT_THAT(why(std::string(40, '[') + std::string(40, ']')), HasSubstr("32 levels"));
  EXPECT_THAT(why(std::string(100'000, '[')), HasSubstr("32 levels"));
  EXPECT_THAT(why("[" + std::string(3'000'000, ' ') + "\xff]"), HasSubstr("line 1, byte 3000002"));
  for (const char* none : {"[]", "{}", "3", "{\"messages\": 3}", "{\"messages\": []}", "null"})
    EXPECT_THAT(why(none), HasSubstr("'c.json' has no messages")) << none;
  EXPECT_THAT(why(R"({"messages": [{"role": "user", "content": "q"}], "stream": true})"),
              HasSubstr("'stream'"));
  EXPECT_THAT(why(R"({"messages": [{"role": "user", "content": "q"}], "tools": [1]})"),
              HasSubstr("tools must be"));
  EXPECT_THAT(why("[1]"), HasSubstr("message 1 is 1"));
  EXPECT_THAT(message(R"("content": "q")"), HasSubstr("message 2 has no role"));
  EXPECT_THAT(message(R"("role": "user")"), HasSubstr("message 2 has no content"));
  EXPECT_THAT(message(R"("role": 3, "content": "q")"), HasSubstr("'role' must be a text, not 3"));
  EXPECT_THAT(message(R"("role": "user", "content": {"a": 1})"), HasSubstr("'content' must be a text"));
  EXPECT_THAT(message(R"("role": "user", "content": [{"type": "image_url", "image_url": {}}])"),
              HasSubstr("parts of type \"text\""));
  EXPECT_THAT(message(R"("role": "user", "content": ["q"])"), HasSubstr("parts of type \"text\""));
  EXPECT_THAT(message(R"("role": "assistant", "content": "", "function_call": {"name": "f"})"),
              HasSubstr("message 2 has 'function_call'"));
  EXPECT_THAT(message(R"("role": "assistant", "content": "", "reasoning": "a", "thinking": "b")"),
              HasSubstr("two texts of reasoning"));
  for (const char* calls : {"{}", "[1]", "[{}]", R"([{"function": {}}])", R"([{"function": {"name": ""}}])",
                            R"([{"function": "f"}])", "\"f\""}) {
    EXPECT_THAT(message(R"("role": "assistant", "tool_calls": )" + std::string(calls)),
                HasSubstr("tool call"))
        << calls;
  }
  EXPECT_THAT(
      message(
          R"("role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[99999999999999999999]"}}])"),
      HasSubstr("does not fit"));
}

// As Python reads objects.
TEST(ParseChat, TheLastMemberOfANameCounts) {
  EXPECT_EQ(
      rendered("{{ tools | tojson }}{{ messages[0].content }}",
               R"({"messages": [{"role": "user", "content": "q"}], "tools": [{"a": 1, "b": 2, "a": 3}]})"),
      "[{\"[a]\": 3, \"[b]\": 2}][q]");
}

// A template that runs on and on, or nests for ever, ends.
TEST(Chats, TemplatesEnd) {
  EXPECT_THAT(
      refusal("{% for a in range(99999) %}{% for b in range(99999) %}{{ messages[1].tool_calls | tojson }}"
              "{% endfor %}{% endfor %}",
              chat_with_call()),
      HasSubstr("steps"));
  EXPECT_THAT(
      refusal("{% macro m(x) %}{{ m([x]) }}{% endmacro %}{{ m(messages[1].tool_calls) }}", chat_with_call()),
      HasSubstr("deeper"));
}

}  // namespace
}  // namespace claa
