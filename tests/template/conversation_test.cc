// Every message of a conversation is in the prompt, or refused by a sentence that says which one is left out.
#include "template/conversation.h"

#include <gmock/gmock.h>

#include "template/chat_template_support.h"

namespace claa {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Messages = std::vector<ChatMessage>;

constexpr const char* kChatml =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
// Has no branch for a system message.
constexpr const char* kUsers =
    "{% for m in messages %}{% if m.role == 'user' %}<u>{{ m.content }}</u>{% elif m.role == 'assistant' %}"
    "<a>{{ m.content }}</a>{% endif %}{% endfor %}";

RenderedConversation converse(const char* source, const Messages& messages, bool system_fallback = false) {
  TemplateVariables variables;
  variables.bos_token = "<s>";
  return render_conversation(ChatTemplate(source), messages, variables, {.system_fallback = system_fallback});
}

std::string text(const char* source, const Messages& messages, bool system_fallback = false) {
  return test::marked(converse(source, messages, system_fallback).spans);
}

std::string refusal(const char* source, const Messages& messages, bool system_fallback = false) {
  try {
    return "no refusal, but: " + text(source, messages, system_fallback);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kTemplate);
    return error.what();
  }
}

TEST(Conversation, StringsWhereTheTemplateTakesThem) {
  EXPECT_EQ(text("{{ messages[0].content }}", {{"user", "q"}}), "[q]");
  // One that takes both.
  EXPECT_EQ(text("{% set c = messages[0].content %}{% if c is string %}s{{ c }}{% else %}p{{ c[0].text }}{% "
                 "endif %}",
                 {{"user", "q"}}),
            "s[q]");
  const RenderedConversation plain = converse(kChatml, {{"system", "s"}, {"user", "q"}});
  EXPECT_EQ(plain.note, "");
  EXPECT_EQ(test::joined(plain.spans), "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n");
}

TEST(Conversation, PartsWhereTheTemplateWantsThem) {
  constexpr const char* kLoop =
      "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{% if part.type == 'text' %}"
      "{{ part.text }}{% elif part['type'] == 'image' %}<image>{% endif %}{% endfor %}{% endfor %}";
  EXPECT_EQ(text(kLoop, {{"user", "Where?"}}), "<user>[Where?]");
  EXPECT_EQ(text(kLoop, {{"system", "s"}, {"user", "q"}, {"assistant", "a"}, {"user", "r"}}),
            "<system>[s]<user>[q]<assistant>[a]<user>[r]");
  // Strings make this one fail, and parts do not.
  EXPECT_EQ(text("{{ messages[0]['content'][0]['text'] + '!' }}", {{"user", "q"}}), "[q]!");
  EXPECT_EQ(text("{% if messages[0].content is string %}{{ raise_exception('no strings') }}{% endif %}"
                 "{{ messages[0].content | map(attribute='text') | join }}",
                 {{"user", "q"}}),
            "[q]");
}

TEST(Conversation, EveryMessageHasItsOwnForm) {
  constexpr const char* kSystemIsText =
      "{{ messages[0].content | trim }}|{% for part in messages[1].content %}{{ part.text }}{% endfor %}";
  EXPECT_EQ(text(kSystemIsText, {{"system", " s "}, {"user", "q"}}), "[s]|[q]");
  constexpr const char* kSystemIsTextAndStringsFail =
      "{{ messages[0].content.strip() }}|{{ messages[1].content[0].text + '.' }}";
  EXPECT_EQ(text(kSystemIsTextAndStringsFail, {{"system", " s "}, {"user", "q"}}), "[s]|[q].");
  constexpr const char* kUserIsText = "{{ messages[0].content[0].text }}|{{ messages[1].content.strip() }}";
  EXPECT_EQ(text(kUserIsText, {{"system", "s"}, {"user", " q "}}), "[s]|[q]");
}

TEST(Conversation, TellsWhichMessageIsLeftOut) {
  EXPECT_THAT(refusal("{{ messages[0].role }}", {{"user", "q"}}),
              HasSubstr("message 1 of 1, of the role 'user'"));
  EXPECT_THAT(refusal(kUsers, {{"user", "q"}, {"tool", "12:00"}, {"user", "r"}}),
              AllOf(HasSubstr("message 2 of 3, of the role 'tool'"), HasSubstr("--raw")));
  EXPECT_THAT(refusal("{{ messages[-1].content }}", {{"user", "q"}, {"assistant", "a"}, {"user", "r"}}),
              HasSubstr("message 1 of 3"));
  // The word stands in the other message, and still this one is lost.
  EXPECT_THAT(refusal("{{ messages[0].content }}", {{"user", "banana"}, {"assistant", "a"}}),
              HasSubstr("message 2 of 2, of the role 'assistant'"));
  // Left out for what it says.
  constexpr const char* kUnless = "{{ '' if 'secret' in messages[0].content else messages[0].content }}!";
  EXPECT_EQ(text(kUnless, {{"user", "open"}}), "[open]!");
  EXPECT_THAT(refusal(kUnless, {{"user", "a secret"}}), HasSubstr("message 1 of 1"));
}

TEST(Conversation, WhatTemplatesDoToTextIsNoLoss) {
  for (const char* source :
       {"{{ messages[0].content | trim }}", "{{ messages[0].content.split() | join(' ') }}",
        "{{ messages[0].content | upper }}", "{{ messages[0].content | tojson }}",
        "{{ messages[0].content | replace('\\n', ' ') }}", "{{ messages[0].content | reverse }}",
        "{% for c in messages[0].content %}{{ c }}.{% endfor %}"}) {
    SCOPED_TRACE(source);
    EXPECT_EQ(converse(source, {{"user", "  What \"is\"\n it?\t\n"}}).note, "");
  }
  for (const char* blank : {"", " \n", "\xE3\x80\x80"}) {
    EXPECT_EQ(converse("{{ messages[0].content | trim }}.", {{"user", blank}}).note, "");
  }
}

TEST(Conversation, SaysHowMuchOfAMessageIsMissing) {
  EXPECT_EQ(converse("{{ messages[0].content[:6] }}", {{"user", "a long text"}}).note,
            "the chat template left out 4 of 9 characters of message 1, of the role 'user'");
  // A switch is used up, and the reasoning of an answer is not told on.
  constexpr const char* kSwitch =
      "{{ 'off' if '/no' in messages[0].content }}{{ messages[0].content.replace('/no', '') }}";
  EXPECT_THAT(converse(kSwitch, {{"user", "q /no"}}).note, HasSubstr("3 of 4"));
  EXPECT_EQ(text(kSwitch, {{"user", "/no"}}), "off");
  constexpr const char* kThink = "{{ messages[0].content.split('</think>')[-1] }}{{ messages[1].content }}";
  EXPECT_EQ(converse(kThink, {{"assistant", "<think>hm</think>yes"}, {"user", "q"}}).note, "");
}

TEST(Conversation, RefusesASystemMessageWithoutAPlace) {
  const Messages messages = {{"system", "In French."}, {"user", "Who?"}};
  EXPECT_THAT(refusal(kUsers, messages),
              AllOf(HasSubstr("no place for a system message"), HasSubstr("--system-fallback")));
  constexpr const char* kRaises =
      "{% if messages[0].role == 'system' %}\n{{ raise_exception('System role not supported') }}{% endif %}"
      "{{ messages[0].content }}";
  EXPECT_THAT(refusal(kRaises, messages),
              AllOf(HasSubstr("System role not supported"), HasSubstr("--system-fallback")));
  constexpr const char* kTurns =
      "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ "
      "raise_exception('turns') }}"
      "{% endif %}[{{ m.content }}]{% endfor %}";
  EXPECT_THAT(refusal(kTurns, messages), HasSubstr("--system-fallback"));
  // What fails with and without it is not the system message's fault.
  EXPECT_THAT(refusal("{{ raise_exception('never') }}", messages),
              AllOf(HasSubstr("never"), testing::Not(HasSubstr("--system-fallback"))));
}

TEST(Conversation, SystemFallbackPutsItBeforeTheFirstQuestion) {
  const Messages messages = {
      {"system", "In French."}, {"user", "Who?"}, {"assistant", "I."}, {"user", "Why?"}};
  const RenderedConversation moved = converse(kUsers, messages, true);
  EXPECT_EQ(test::marked(moved.spans), "<u>[In French.\n\nWho?]</u><a>[I.]</a><u>[Why?]</u>");
  EXPECT_THAT(moved.note, HasSubstr("system message stands before"));
  // A template with a place for it is given it as it is.
  EXPECT_EQ(text(kChatml, {{"system", "s"}, {"user", "q"}}, true),
            text(kChatml, {{"system", "s"}, {"user", "q"}}));
  EXPECT_EQ(converse(kChatml, {{"system", "s"}, {"user", "q"}}, true).note, "");
  constexpr const char* kParts =
      "{% for m in messages if m.role == 'user' %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor "
      "%}";
  EXPECT_EQ(text(kParts, {{"system", "s"}, {"user", "q"}}, true), "[s\n\nq]");
}

TEST(Conversation, AnEmptySystemMessageSwitchesOffATemplatesOwn) {
  constexpr const char* kDefault =
      "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helper made of words.<|im_end|>\n"
      "{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
  const std::string off = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n[q]<|im_end|>\n";
  EXPECT_EQ(text(kDefault, {{"system", ""}, {"user", "q"}}), off);
  EXPECT_THAT(text(kDefault, {{"user", "q"}}), HasSubstr("made of words"));
  // Where there is nothing to switch off, or no place, it is as if there were none.
  for (const char* source : {kChatml, kUsers}) {
    for (const char* blank : {"", " \n"})
      EXPECT_EQ(text(source, {{"system", blank}, {"user", "q"}}), text(source, {{"user", "q"}})) << source;
  }
  EXPECT_EQ(text("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ "
                 "messages[0].content }}",
                 {{"system", ""}, {"user", "q"}}),
            "[q]");
}

// A text of many characters is not walked through one by one to find out that parts are wanted.
TEST(Conversation, LongTextsAsParts) {
  const std::string document(4'000'000, 'x');
  constexpr const char* kLoop =
      "{% for m in messages %}{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif "
      "%}"
      "{% endfor %}{% endfor %}";
  const RenderedConversation rendered = converse(kLoop, {{"user", document}});
  EXPECT_EQ(test::joined(rendered.spans).size(), document.size());
}

}  // namespace
}  // namespace claa
