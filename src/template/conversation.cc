#include "template/conversation.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/check.h"
#include "template/tool_calls.h"
#include "text/unicode.h"

namespace claa {
namespace {

using Messages = std::vector<ChatMessage>;

std::string without_space(std::string_view text) {
  std::string kept;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_character(text, at);
    if (!is_space(point.value)) kept += text.substr(at, point.size);
    at += point.size;
  }
  return kept;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool has_system(const Messages& messages) {
  return !messages.empty() && messages.front().role == "system";
}

// How a template takes a conversation whose contents are short words.
struct Probe {
  Messages messages;            // the words, in the form that was tried
  std::vector<size_t> missing;  // which of them the text lacks
  size_t size = 0;              // bytes of the text
  size_t nones = 0;             // how often the template writes "None"
  bool call_lost = false;       // a tool call is not in the text
  std::string error;            // why there is no text; empty: there is
  bool complete() const { return error.empty() && missing.empty(); }
  // How far it is from a text that has everything: an error is worse than all calls that are lost, and a lost
  // call than all contents.
  size_t faults() const {
    constexpr size_t kCall = size_t{1} << 32, kError = kCall << 1;
    return (error.empty() ? 0 : kError) + (call_lost ? kCall : 0) + missing.size();
  }
  // The first message that is lost. Some templates leave out what an answer says beside its tool calls, which
  // is told and no reason to refuse it.
  std::optional<size_t> lost() const {
    for (const size_t i : missing)
      if (messages[i].tool_calls.empty()) return i;
    return std::nullopt;
  }
};

Probe probe(const ChatTemplate& chat, Messages messages, const TemplateVariables& variables) {
  constexpr std::string_view kWord = "words";
  for (ChatMessage& message : messages)
    if (!is_call_alone(message)) message.content = kWord;
  Probe result;
  try {
    const RenderedChat rendered = chat.render_chat(messages, variables);
    for (size_t i = 0; i < messages.size(); ++i) {
      if (rendered.contents[i].size() < messages[i].content.size()) result.missing.push_back(i);
    }
    result.nones = count_nones(rendered);
    result.call_lost = lost_call(messages, rendered).has_value();
    for (const TemplateSpan& span : rendered.spans) result.size += span.text.size();
  } catch (const Error& error) {
    result.error = error.what();
  }
  result.messages = std::move(messages);
  return result;
}

// The first form in which every content arrives, else the one in which most do. Strings come first, because
// templates that take both treat them alike, and those that take strings write parts with their brackets.
Probe find_form(const ChatTemplate& chat, Messages messages, const TemplateVariables& variables) {
  Probe best = probe(chat, messages, variables);
  const auto consider = [&](const Messages& form) {
    if (best.complete()) return;
    Probe next = probe(chat, form, variables);
    const bool better =
        next.error.empty() && (!best.error.empty() || next.missing.size() < best.missing.size());
    if (better) best = std::move(next);
  };
  Messages form = messages;
  for (const size_t i : best.missing) form[i].parts = true;
  if (!best.missing.empty()) consider(form);
  for (ChatMessage& message : form) message.parts = message.role != "system";
  if (has_system(form)) consider(form);
  for (ChatMessage& message : form) message.parts = true;
  consider(form);
  return best;
}

// The same with a content of none as it is, or as an empty text: what Python writes for none is no text of a
// message.
Probe find_content_form(const ChatTemplate& chat, const Messages& messages,
                        const TemplateVariables& variables) {
  Probe best = find_form(chat, messages, variables);
  if (best.faults() == 0 && best.nones == 0) return best;
  if (const auto form = with_empty_contents(messages)) {
    Probe next = find_form(chat, *form, variables);
    if (std::pair(next.faults(), next.nones) < std::pair(best.faults(), best.nones)) best = std::move(next);
  }
  return best;
}

// The same with arguments of tool calls as objects, or as text where objects do not arrive. A none among them
// is no reason for text: the template writes objects in its own form.
Probe find_call_form(const ChatTemplate& chat, const Messages& messages, const TemplateVariables& variables) {
  Probe best = find_content_form(chat, messages, variables);
  if (best.faults() == 0) return best;
  if (const auto form = with_text_arguments(messages)) {
    Probe next = find_content_form(chat, *form, variables);
    if (next.faults() < best.faults()) best = std::move(next);
  }
  return best;
}

// Whether the template leaves out a text of its own when it is given an empty system message.
bool empty_system_matters(const ChatTemplate& chat, const Messages& messages,
                          const TemplateVariables& variables) {
  const Probe without = find_call_form(chat, Messages(messages.begin() + 1, messages.end()), variables);
  Probe with = find_call_form(chat, messages, variables);
  if (!with.error.empty() || !without.error.empty()) return false;
  with.messages.front().content.clear();
  try {
    size_t size = 0;
    for (const TemplateSpan& span : chat.render(with.messages, variables)) size += span.text.size();
    return size < without.size;
  } catch (const Error&) {
    return false;
  }
}

[[noreturn]] void fail_system(const Probe& tried) {
  fail(ErrorCode::kTemplate,
       "the chat template has no place for a system message{}; leave it out, or let it stand before the "
       "user's first message (--system-fallback)",
       tried.error.empty() ? "" : " (" + tried.error + ")");
}

std::string shown_role(const ChatMessage& message) {
  constexpr size_t kShown = 40;
  return message.role.substr(0, kShown);
}

[[noreturn]] void fail_lost_call(const LostCall& lost, const Messages& messages) {
  fail(
      ErrorCode::kTemplate,
      "the chat template leaves out tool call {} of {} in message {}; give the answer's text in place of the "
      "calls, or use a model file whose template writes them",
      lost.call + 1, messages[lost.message].tool_calls.size(), lost.message + 1);
}

[[noreturn]] void fail_left_out(const Messages& messages, size_t index) {
  fail(ErrorCode::kTemplate,
       "the chat template leaves out message {} of {}, of the role '{}'; give the whole prompt without the "
       "template (--raw), or use a model file whose template writes it",
       index + 1, messages.size(), shown_role(messages[index]));
}

// Puts the system message before the user's first one; false when there is none.
bool move_system(Messages& messages) {
  const auto user = std::find_if(messages.begin() + 1, messages.end(),
                                 [](const ChatMessage& message) { return message.role == "user"; });
  if (user == messages.end()) return false;
  user->content = with_system(messages.front().content, user->content);
  messages.erase(messages.begin());
  return true;
}

// The messages in the form in which all arrive.
Messages fitted(const ChatTemplate& chat, Messages messages, const TemplateVariables& variables,
                const ConversationOptions& options, std::string& note) {
  Probe form = find_call_form(chat, messages, variables);
  const bool system_lost = !form.error.empty() || form.lost() == size_t{0};
  Messages moved = messages;
  if (has_system(messages) && system_lost && move_system(moved)) {
    Probe without = find_call_form(chat, moved, variables);
    // Where it fails too, the system message is not what the template objects to.
    if (without.error.empty() && !without.lost()) {
      if (!options.system_fallback) fail_system(form);
      note = "the system message stands before the user's first message";
      messages = std::move(moved);
      form = std::move(without);
    }
  }
  // A failure is told by the rendering of the messages themselves, with its line.
  if (const auto lost = form.lost(); form.error.empty() && lost) fail_left_out(messages, *lost);
  for (size_t i = 0; i < messages.size(); ++i) form.messages[i].content = std::move(messages[i].content);
  return std::move(form.messages);
}

// Whether the text is the same with message `index` empty.
bool ignored(const ChatTemplate& chat, Messages messages, size_t index, const TemplateVariables& variables,
             const RenderedChat& rendered) {
  messages[index].content.clear();
  const auto same = [](const TemplateSpan& a, const TemplateSpan& b) {
    return a.special == b.special && a.text == b.text;
  };
  const std::vector<TemplateSpan> emptied = chat.render(messages, variables);
  return std::equal(emptied.begin(), emptied.end(), rendered.spans.begin(), rendered.spans.end(), same);
}

// Compares what was given with what has arrived. Templates may trim it, write it in capitals or as JSON;
// where characters are missing, that is told. Some are meant as switches ("/no_think"), and of answers
// templates leave out the reasoning, which is no loss.
void check_arrived(const ChatTemplate& chat, const Messages& messages, const TemplateVariables& variables,
                   const RenderedChat& rendered, std::string& note) {
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string_view arrived = rendered.contents[i];
    if (arrived.find(trimmed(messages[i].content)) != std::string_view::npos) continue;
    const size_t wanted = count_characters(without_space(messages[i].content));
    const size_t found = count_characters(without_space(arrived));
    if (found >= wanted) continue;
    const bool has_calls = !messages[i].tool_calls.empty();
    if (found == 0 && !has_calls && ignored(chat, messages, i, variables, rendered))
      fail_left_out(messages, i);
    if (messages[i].role == "assistant" && !(has_calls && found == 0)) continue;
    note += fmt::format("{}the chat template left out {} of {} characters of message {}, of the role '{}'",
                        note.empty() ? "" : ", ", wanted - found, wanted, i + 1, shown_role(messages[i]));
  }
}

}  // namespace

std::string with_system(std::string_view system, std::string_view user) {
  std::string joined(system);
  joined += "\n\n";
  joined += user;
  return joined;
}

RenderedConversation render_conversation(const ChatTemplate& chat, std::vector<ChatMessage> messages,
                                         const TemplateVariables& variables,
                                         const ConversationOptions& options) {
  RenderedConversation result;
  result.places.resize(messages.size());
  if (has_system(messages) && is_blank(messages.front().content)) {
    if (!empty_system_matters(chat, messages, variables)) messages.erase(messages.begin());
  }
  messages = fitted(chat, std::move(messages), variables, options, result.note);
  RenderedChat rendered = chat.render_chat(messages, variables);
  if (const std::optional<LostCall> lost = lost_call(messages, rendered)) fail_lost_call(*lost, messages);
  check_arrived(chat, messages, variables, rendered, result.note);
  // A system message that is no message of its own any more was the first.
  std::copy(rendered.places.rbegin(), rendered.places.rend(), result.places.rbegin());
  result.spans = std::move(rendered.spans);
  return result;
}

}  // namespace claa
