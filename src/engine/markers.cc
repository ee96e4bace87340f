#include "engine/markers.h"

#include <algorithm>
#include <unordered_set>

#include "core/check.h"
#include "core/usize.h"
#include "template/conversation.h"
#include "text/unicode.h"
#include "tokenizer/tokenizer_data.h"

namespace claa {
namespace {

// What the template writes of its own in conversations without tools.
struct TemplateTexts {
  std::vector<std::string> all;
  std::string after_answer;  // between an answer and the next question; may be empty
};

void add_texts(const ChatTemplate& chat, const TemplateVariables& variables,
               const std::vector<const char*>& roles, TemplateTexts& texts) {
  constexpr std::string_view kAnswer = "answer";
  std::vector<ChatMessage> messages;
  for (const std::string role : roles)
    messages.push_back({role, role == "assistant" ? std::string(kAnswer) : "words"});
  std::vector<TemplateSpan> spans;
  try {
    spans = render_conversation(chat, std::move(messages), variables).spans;
  } catch (const Error&) {
    return;  // the template does not take this conversation
  }
  for (size_t i = 0; i < spans.size(); ++i) {
    if (!spans[i].special) continue;
    const bool follows = i > 0 && spans[i - 1].text.find(kAnswer) != std::string::npos;
    if (follows && texts.after_answer.empty()) texts.after_answer = spans[i].text;
    texts.all.push_back(std::move(spans[i].text));
  }
}

TemplateTexts template_texts(const TokenizerData& data) {
  TemplateTexts texts;
  try {
    // Short words take a few thousand steps; a template that runs on and on must not hold up the loading.
    TemplateLimits limits;
    limits.max_steps = 300'000;
    const ChatTemplate chat(data.chat_template, limits);
    const TemplateVariables variables = prompt_variables(data);
    add_texts(chat, variables, {"user", "assistant", "user"}, texts);
    add_texts(chat, variables, {"system", "user", "assistant", "user"}, texts);
    add_texts(chat, variables, {"user"}, texts);
  } catch (const Error&) {
    return {};
  }
  return texts;
}

bool has_no_space(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_character(text, at);
    if (point.value < 0 || is_space(point.value) || !is_printable(point.value)) return false;
    at += point.size;
  }
  return !text.empty();
}

bool is_between(std::string_view text, std::string_view begin, std::string_view end) {
  return text.size() > begin.size() + end.size() && text.starts_with(begin) && text.ends_with(end);
}

// "<|im_end|>", also with wide bars or "[|user|]"; "[INST]"; "</s>"; and "<end_of_turn>", unless it is one of
// a pair such as "<think>" and "</think>", which are text.
bool looks_like_marker(std::string_view text, const std::unordered_set<std::string_view>& vocabulary) {
  if (!has_no_space(text)) return false;
  if (is_between(text, "<|", "|>") || is_between(text, "<｜", "｜>") || is_between(text, "[|", "|]"))
    return true;
  if (text == "<s>" || text == "</s>") return true;
  if (is_between(text, "[", "]")) {
    return text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_/[]") == std::string_view::npos;
  }
  if (!is_between(text, "<", ">") || text[1] == '/' || text.find_first_of("<>", 1) + 1 != text.size())
    return false;
  return !vocabulary.contains("</" + std::string(text.substr(1)));
}

bool is_control(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUnknown;
}

bool is_written(const TemplateTexts& texts, std::string_view token) {
  return std::any_of(texts.all.begin(), texts.all.end(),
                     [&](const std::string& text) { return text.find(token) != std::string::npos; });
}

// A token that merges make is a word of the vocabulary, unless the file says that it ends or begins a text.
bool is_word(const TokenizerData& data, size_t id) {
  const auto i = static_cast<int32_t>(id);
  if (i == data.bos || i == data.eos || i == data.eot || i == data.eom) return false;
  const std::string& token = data.tokens[id];
  return std::any_of(data.merges.begin(), data.merges.end(), [&](const std::string& merge) {
    const size_t space = merge.find(' ');
    return merge.size() == token.size() + 1 && space != std::string::npos &&
           token.compare(0, space, merge, 0, space) == 0 &&
           token.compare(space, std::string::npos, merge, space + 1, std::string::npos) == 0;
  });
}

std::vector<size_t> mistyped(const TokenizerData& data, const TemplateTexts& texts) {
  std::vector<size_t> found;
  std::unordered_set<std::string_view> vocabulary;
  for (const std::string& token : data.tokens) {
    if (token.starts_with("</")) vocabulary.insert(token);
  }
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string& token = data.tokens[id];
    const bool may =
        token.size() > 2 && (token[0] == '<' || token[0] == '[') && !is_control(token_type(data, id));
    if (may && looks_like_marker(token, vocabulary) && is_written(texts, token) && !is_word(data, id))
      found.push_back(id);
  }
  return found;
}

void make_control(TokenizerData& data, const std::vector<size_t>& ids) {
  if (ids.empty()) return;
  std::vector<int32_t> types;
  for (size_t id = 0; id < data.tokens.size(); ++id)
    types.push_back(static_cast<int32_t>(token_type(data, id)));
  for (const size_t id : ids) types[id] = static_cast<int32_t>(TokenType::kControl);
  data.token_types = std::move(types);
}

std::string warning(const TokenizerData& data, const std::vector<size_t>& ids) {
  constexpr size_t kShown = 6, kLength = 40;
  std::string names;
  for (size_t i = 0; i < std::min(ids.size(), kShown); ++i) {
    names += i > 0 ? ", " : "";
    names += data.tokens[ids[i]].substr(0, kLength);
  }
  if (ids.size() > kShown) names += fmt::format(" and {} more", ids.size() - kShown);
  return fmt::format(
      "{}: the chat template writes {} as {}, but tokenizer.ggml.token_type does not say so; {} taken as {}, "
      "which users' texts cannot hold",
      data.source, names, ids.size() > 1 ? "control tokens" : "a control token",
      ids.size() > 1 ? "they are" : "it is", ids.size() > 1 ? "such" : "one");
}

// The first control token in `text`, the longest where several begin; -1 when there is none.
int32_t first_control(const TokenizerData& data, std::string_view text) {
  int32_t first = -1;
  size_t best = std::string_view::npos;
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string& token = data.tokens[id];
    if (token.empty() || !is_control(token_type(data, id))) continue;
    const size_t at = text.find(token);
    if (at == std::string_view::npos || at > best) continue;
    if (at == best && token.size() < data.tokens[usize(first)].size()) continue;
    best = at;
    first = static_cast<int32_t>(id);
  }
  return first;
}

}  // namespace

TemplateVariables prompt_variables(const TokenizerData& data) {
  TemplateVariables variables;
  variables.add_generation_prompt = true;
  const auto text_of = [&](int32_t id) { return id >= 0 ? data.tokens[usize(id)] : std::string(); };
  variables.bos_token = text_of(data.bos);
  variables.eos_token = text_of(data.eos);
  return variables;
}

void adopt_markers(TokenizerData& data, std::vector<std::string>& warnings) {
  if (data.chat_template.empty()) return;
  const TemplateTexts texts = template_texts(data);
  const std::vector<size_t> ids = mistyped(data, texts);
  make_control(data, ids);
  if (!ids.empty()) warnings.push_back(warning(data, ids));
  const int32_t end = first_control(data, texts.after_answer);
  if (end >= 0) data.turn_ends.push_back(end);
}

}  // namespace claa
