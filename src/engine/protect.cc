// Which tokens of a prompt a request protects.
#include <algorithm>

#include "core/usize.h"
#include "engine/impl.h"

namespace claa {
namespace {

// The prompt's text, and where each token begins in it.
struct TokenText {
  std::string text;
  std::vector<size_t> begins;  // one more than tokens

  TokenText(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
    for (const int32_t id : ids) {
      begins.push_back(text.size());
      text += tokenizer.token_bytes(id);
    }
    begins.push_back(text.size());
  }
  // The tokens that hold any of the bytes [begin, end).
  TokenRange tokens(size_t begin, size_t end) const {
    const auto first = std::upper_bound(begins.begin(), begins.end(), begin) - 1;
    const auto last = std::lower_bound(begins.begin(), begins.end(), end);
    return {first - begins.begin(), last - begins.begin()};
  }
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// Appends every place where `wanted` stands; false when there is none.
bool add_places(const TokenText& prompt, std::string_view wanted, std::vector<TokenRange>& spans) {
  bool found = false;
  for (size_t at = prompt.text.find(wanted); at != std::string::npos; at = prompt.text.find(wanted, at + 1)) {
    spans.push_back(prompt.tokens(at, at + wanted.size()));
    found = true;
  }
  return found;
}

// A message of the request, and where the chat template wrote it.
struct GivenMessage {
  std::string_view content;
  TextRange place;
  bool system = false;
};

bool is_system(std::string_view role) {
  return role == "system" || role == "developer";
}

// An empty system message is none.
std::vector<GivenMessage> given_messages(const Request& request, const PromptTokens& tokens) {
  std::vector<GivenMessage> messages;
  size_t next = 0;
  const auto place = [&] { return next < tokens.places.size() ? tokens.places[next++] : TextRange{}; };
  for (const Message& message : request.messages) {
    const std::string_view content =
        message.content ? std::string_view(*message.content) : std::string_view();
    messages.push_back({content, place(), is_system(message.role)});
  }
  if (!request.messages.empty()) return messages;
  if (request.system) {
    const TextRange of_system = place();
    if (!request.system->empty()) messages.push_back({*request.system, of_system, true});
  }
  messages.push_back({request.prompt, place()});
  return messages;
}

// Without the white space at its ends, which templates trim.
TextRange trimmed_place(std::string_view text, TextRange place) {
  const std::string_view inside = trimmed(text.substr(place.begin, place.end - place.begin));
  if (inside.empty()) return {};
  const auto begin = static_cast<size_t>(inside.data() - text.data());
  return {begin, begin + inside.size()};
}

// Where the template wrote the message. A tokenizer may change the text before it, as may a begin token, so
// that the place counts from the end; where the bytes there are others, the content's first place is taken.
bool add_message(const TokenText& prompt, std::string_view text, const GivenMessage& message,
                 std::vector<TokenRange>& spans) {
  const TextRange place = trimmed_place(text, message.place);
  const std::string_view wanted = text.substr(place.begin, place.end - place.begin);
  const size_t behind = text.size() - place.begin;
  if (!wanted.empty() && behind <= prompt.text.size()) {
    const size_t at = prompt.text.size() - behind;
    if (prompt.text.compare(at, wanted.size(), wanted) == 0) {
      spans.push_back(prompt.tokens(at, at + wanted.size()));
      return true;
    }
  }
  const std::string_view content = trimmed(message.content);
  const size_t at = prompt.text.find(content);
  if (content.empty() || at == std::string::npos) return false;
  spans.push_back(prompt.tokens(at, at + content.size()));
  return true;
}

std::vector<TokenRange> merged(std::vector<TokenRange> spans) {
  std::sort(spans.begin(), spans.end(),
            [](const TokenRange& a, const TokenRange& b) { return a.begin < b.begin; });
  std::vector<TokenRange> result;
  for (const TokenRange& span : spans) {
    if (!result.empty() && span.begin <= result.back().end) {
      result.back().end = std::max(result.back().end, span.end);
    } else {
      result.push_back(span);
    }
  }
  return result;
}

void add_ranges(const std::vector<TokenRange>& ranges, int64_t tokens, std::vector<TokenRange>& spans) {
  for (const TokenRange& range : ranges) {
    if (range.begin < 0 || range.begin >= range.end || range.end > tokens) {
      fail(ErrorCode::kInvalidArgument,
           "protect: there are no tokens {} to {} in a prompt of {}; give a first one and one past the last",
           range.begin, range.end, tokens);
    }
    spans.push_back(range);
  }
}

void add_messages(const Request& request, const PromptTokens& tokens, const TokenText& prompt,
                  std::vector<TokenRange>& spans, std::string& note) {
  const std::vector<GivenMessage> messages = given_messages(request, tokens);
  for (const int64_t index : request.protect.messages) {
    if (index < 0 || index >= static_cast<int64_t>(messages.size())) {
      fail(ErrorCode::kInvalidArgument, "protect: there is no message {}; the request has {}", index,
           messages.size());
    }
    if (!add_message(prompt, tokens.text, messages[usize(index)], spans)) {
      fail(ErrorCode::kInvalidArgument,
           "protect: the chat template changed message {}, so that it cannot be found; protect a text of it",
           index);
    }
  }
  if (!request.protect.system) return;
  for (const GivenMessage& message : messages) {
    if (!message.system || message.content.empty() || add_message(prompt, tokens.text, message, spans))
      continue;
    note += note.empty() ? "" : ", ";
    note += "the chat template changed the system message, which is not protected";
  }
}

bool has_system(const Request& request) {
  if (request.system && !request.system->empty()) return true;
  return std::any_of(request.messages.begin(), request.messages.end(),
                     [](const Message& message) { return is_system(message.role); });
}

}  // namespace

std::vector<TokenRange> protected_spans(const Request& request, const Tokenizer* tokenizer,
                                        const PromptTokens& tokens, std::string& note) {
  const Protection& protect = request.protect;
  std::vector<TokenRange> spans;
  add_ranges(protect.tokens, static_cast<int64_t>(tokens.ids.size()), spans);
  const bool by_message =
      request.ids.empty() && (!protect.messages.empty() || (protect.system && has_system(request)));
  if (!request.ids.empty() && !protect.messages.empty()) {
    fail(ErrorCode::kInvalidArgument, "protect: a prompt of token ids has no messages; give token ranges");
  }
  if (!protect.texts.empty() && tokenizer == nullptr) {
    fail(ErrorCode::kInvalidArgument, "protect: a shape has no tokenizer; give token ranges");
  }
  if (protect.texts.empty() && !by_message) return merged(std::move(spans));
  const TokenText prompt(*tokenizer, tokens.ids);
  if (by_message) add_messages(request, tokens, prompt, spans, note);
  for (const std::string& text : protect.texts) {
    if (text.empty()) fail(ErrorCode::kInvalidArgument, "protect: the text is empty; leave it out");
    if (!add_places(prompt, text, spans)) {
      fail(ErrorCode::kInvalidArgument,
           "protect: the prompt does not hold the text '{}'; give it as it stands there", text);
    }
  }
  return merged(std::move(spans));
}

}  // namespace claa
