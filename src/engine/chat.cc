// From a request's messages to token ids: template, control tokens and the begin token.
#include <algorithm>

#include "engine/impl.h"
#include "engine/markers.h"
#include "engine/messages.h"
#include "engine/template_kwargs.h"
#include "template/conversation.h"
#include "text/unicode.h"

namespace claa {
namespace {

bool is_blank_token(const Tokenizer& tokenizer, int32_t id) {
  return !tokenizer.is_special(id) && is_blank(tokenizer.token_bytes(id));
}

// Templates differ in whether they write the begin-of-text token themselves, some after a line break and some
// twice; it must stand there once.
void begin_once(const Tokenizer& tokenizer, std::vector<int32_t>& ids) {
  const TokenizerData& data = tokenizer.data();
  if (data.bos < 0) return;
  size_t at = 0;
  while (at < ids.size() && is_blank_token(tokenizer, ids[at])) ++at;
  if (at == ids.size() || ids[at] != data.bos) {
    if (data.add_bos) ids.insert(ids.begin(), data.bos);
    return;
  }
  if (!tokenizer.is_special(data.bos)) return;  // a text of the user's may begin with it
  const auto first = ids.begin() + static_cast<std::ptrdiff_t>(at);
  const auto other = std::find_if(first, ids.end(), [&](int32_t id) { return id != data.bos; });
  ids.erase(first + 1, other);
}

// The system message that is to be given; an empty one may still switch off a template's own.
std::string_view system_of(const Request& request) {
  return request.system ? std::string_view(*request.system) : std::string_view();
}

}  // namespace

const ChatTemplate* Engine::Impl::chat() const {
  const std::string& source = text().data().chat_template;
  if (source.empty()) return nullptr;
  const std::scoped_lock lock(chat_mutex_);
  if (!chat_) chat_.emplace(source);
  return &*chat_;
}

PromptTokens Engine::Impl::tokenize(const Request& request) const {
  const bool has_prompt = !request.prompt.empty() || request.system;
  if (!request.ids.empty()) {
    if (has_prompt || !request.messages.empty() || !request.tools.empty() || !request.answer_prefix.empty() ||
        !request.chat_template_kwargs.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "a request has token ids and also a prompt, a system message, messages, tools, arguments of the "
           "chat template or an answer prefix; leave out one");
    }
    return {request.ids};
  }
  if (has_prompt && !request.messages.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "a request has messages and also a prompt or a system message; leave out one");
  }
  const ChatTemplate* chat_template = request.raw ? nullptr : chat();
  return chat_template == nullptr ? tokenize_plain(request) : tokenize_chat(*chat_template, request);
}

PromptTokens Engine::Impl::tokenize_plain(const Request& request) const {
  const auto need_template = [&](const char* what) {
    fail(ErrorCode::kInvalidArgument, "{} need a chat template; {}", what,
         request.raw ? "leave out --raw" : "this model file has none, so leave them out");
  };
  if (!request.chat_template_kwargs.empty()) need_template("arguments of the chat template");
  if (!request.messages.empty()) need_template("messages");
  if (!request.tools.empty()) need_template("tools");
  PromptTokens tokens;
  std::string prompt = request.prompt;
  if (!request.raw) tokens.note = "continued as plain text, as the model has no chat template";
  if (const std::string_view system = system_of(request); !system.empty()) {
    if (request.raw || !request.system_fallback) {
      fail(ErrorCode::kInvalidArgument, "a system message needs a chat template; {}",
           request.raw ? "leave out --raw"
                       : "this model file has none; leave the message out, or let it stand before the prompt "
                         "(--system-fallback)");
    }
    prompt = with_system(system, prompt);
    tokens.note +=
        std::string(tokens.note.empty() ? "" : ", ") + "the system message stands before the prompt";
  }
  const TokenizerData& data = text().data();
  tokens.ids = tokenizer->encode(prompt + request.answer_prefix);
  if (data.add_bos && data.bos >= 0) tokens.ids.insert(tokens.ids.begin(), data.bos);
  return tokens;
}

PromptTokens Engine::Impl::tokenize_chat(const ChatTemplate& chat_template, const Request& request) const {
  PromptTokens tokens;
  TemplateVariables variables = prompt_variables(text().data());
  if (!request.chat_template_kwargs.empty())
    add_template_kwargs(request.chat_template_kwargs, chat_template, variables);
  add_tools(request, chat_template, variables);
  std::vector<ChatMessage> messages = chat_messages(request, chat_template, tokens.note);
  const RenderedConversation rendered = render_conversation(chat_template, std::move(messages), variables,
                                                            {.system_fallback = request.system_fallback});
  tokens.note += std::string(tokens.note.empty() || rendered.note.empty() ? "" : ", ") + rendered.note;
  tokens.places = rendered.places;
  std::vector<Span> spans;
  for (const TemplateSpan& span : rendered.spans) spans.push_back({span.text, span.special});
  if (!request.answer_prefix.empty()) spans.push_back({request.answer_prefix, false});
  for (const Span& span : spans) tokens.text += span.text;
  tokens.ids = tokenizer->encode(spans);
  begin_once(*tokenizer, tokens.ids);
  return tokens;
}

}  // namespace claa
