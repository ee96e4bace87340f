#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <deque>
#include <limits>

#include "core/check.h"
#include "core/counts.h"
#include "core/usize.h"
#include "text/unicode.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/subwords.h"
#include "tokenizer/tokenizer_data.h"

namespace claa {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;

// Control tokens that end an answer in models that have them, even when the file does not list their ids.
constexpr std::array<std::string_view, 8> kEndNames = {
    "<|im_end|>",    "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>",
    "<|endoftext|>", "<|end|>",    "</s>",       "<end_of_turn>"};

TokenRole role_of(TokenType type) {
  switch (type) {
    case TokenType::kUndefined:
    case TokenType::kNormal:
    case TokenType::kByte:
      return TokenRole::kNormal;
    case TokenType::kUserDefined:
      return TokenRole::kUserDefined;
    case TokenType::kUnknown:
    case TokenType::kControl:
    case TokenType::kUnused:
      return TokenRole::kControl;
  }
  return TokenRole::kControl;
}

std::vector<TokenType> types_of(const TokenizerData& data) {
  std::vector<TokenType> types;
  types.reserve(data.tokens.size());
  for (size_t i = 0; i < data.tokens.size(); ++i) types.push_back(token_type(data, i));
  return types;
}

std::unique_ptr<const Subwords> subwords_of(const TokenizerData& data, const std::vector<TokenType>& types) {
  std::vector<TokenRole> roles(types.size());
  std::transform(types.begin(), types.end(), roles.begin(), role_of);
  std::vector<bool> is_byte(types.size());
  std::transform(types.begin(), types.end(), is_byte.begin(),
                 [](TokenType type) { return type == TokenType::kByte; });
  return make_subwords(data, roles, is_byte);
}

// `spellings` keeps the texts.
AddedTokens added_tokens(const TokenizerData& data, const std::vector<TokenType>& types,
                         const Subwords& subwords, std::deque<std::string>& spellings) {
  std::vector<AddedTokens::Token> added;
  for (size_t i = 0; i < types.size(); ++i) {
    const bool control = types[i] == TokenType::kControl || types[i] == TokenType::kUnknown;
    if (!control && types[i] != TokenType::kUserDefined) continue;
    spellings.push_back(subwords.spelled(data.tokens[i]));
    added.push_back({spellings.back(), static_cast<int32_t>(i), control});
  }
  return AddedTokens(std::move(added));
}

std::vector<bool> end_tokens(const TokenizerData& data, const std::vector<TokenType>& types,
                             const Subwords& subwords) {
  std::vector<bool> ends(types.size(), false);
  for (const int32_t id : {data.eos, data.eot, data.eom}) {
    if (id >= 0) ends[usize(id)] = true;
  }
  for (const int32_t id : data.turn_ends) ends[usize(id)] = true;
  for (const std::string_view name : kEndNames) {
    const int32_t id = subwords.find(name);
    if (id >= 0 && types[usize(id)] == TokenType::kControl) ends[usize(id)] = true;
  }
  return ends;
}

TokenizerData checked(TokenizerData data) {
  check_tokenizer_data(data);
  return data;
}

// White space as Unicode defines it, which Python's str.isspace() adds four controls to.
bool is_white_space(int32_t code) {
  return is_space(code) && (code < 0x1C || code > 0x1F);
}

size_t space_at_start(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    const CodePoint point = decode_character(text, size);
    if (!is_white_space(point.value)) break;
    size += point.size;
  }
  return size;
}

size_t without_space_at_end(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    const CodePoint point = decode_character(text, begin);
    if (begin + point.size != end || !is_white_space(point.value)) break;
    end = begin;
  }
  return end;
}

std::vector<bool> flags_of(const std::vector<int32_t>& ids, size_t count) {
  std::vector<bool> flags(count);
  for (const int32_t id : ids) flags[usize(id)] = true;
  return flags;
}

}  // namespace

struct Tokenizer::Impl {
  TokenizerData data;
  std::vector<TokenType> types;
  std::unique_ptr<const Subwords> subwords;  // views into data
  std::deque<std::string> spellings;         // of added tokens
  AddedTokens added;                         // views into spellings
  std::vector<bool> ends;
  std::vector<bool> strip_left, strip_right;

  explicit Impl(TokenizerData given)
      : data(checked(std::move(given))),
        types(types_of(data)),
        subwords(subwords_of(data, types)),
        added(added_tokens(data, types, *subwords, spellings)),
        ends(end_tokens(data, types, *subwords)),
        strip_left(flags_of(data.strip_left, types.size())),
        strip_right(flags_of(data.strip_right, types.size())) {}

  size_t checked_id(int32_t id) const {
    if (id < 0 || usize(id) >= data.tokens.size()) {
      fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {} tokens", id,
           group_digits(data.tokens.size()));
    }
    return usize(id);
  }

  std::vector<int32_t> encode(std::string_view text,
                              const std::vector<AddedTokens::Range>& control_ranges) const;
};

std::vector<int32_t> Tokenizer::Impl::encode(std::string_view text,
                                             const std::vector<AddedTokens::Range>& control_ranges) const {
  if (text.size() > kMaxTextBytes) {
    fail(ErrorCode::kInvalidArgument, "a text of {} bytes is too long to tokenize; give at most {} bytes",
         group_digits(text.size()), group_digits(kMaxTextBytes));
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  Subwords::Scratch scratch;
  size_t pos = 0;
  size_t range_hint = 0;
  Before before = Before::kNothing;
  while (pos < text.size()) {
    const auto hit = added.find(text, pos, control_ranges, range_hint);
    size_t end = hit ? hit->begin : text.size();
    if (hit && strip_left[usize(hit->id)]) end = pos + without_space_at_end(text.substr(pos, end - pos));
    if (end > pos) {
      const std::string_view stretch = text.substr(pos, end - pos);
      const bool valid = valid_utf8_prefix(stretch) == stretch.size();
      subwords->encode(valid ? stretch : std::string_view(replace_invalid_utf8(stretch)), before, scratch,
                       ids);
      before = Before::kText;
    }
    if (!hit) break;
    ids.push_back(hit->id);
    before = types[usize(hit->id)] == TokenType::kUserDefined ? Before::kText : Before::kControl;
    pos = hit->end;
    if (strip_right[usize(hit->id)]) pos += space_at_start(text.substr(pos));
  }
  return ids;
}

Tokenizer::Tokenizer(TokenizerData data) : impl_(std::make_unique<const Impl>(std::move(data))) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  return impl_->encode(impl_->subwords->spelled(text), {});
}

std::vector<int32_t> Tokenizer::encode(std::span<const Span> spans) const {
  std::string joined;
  std::vector<AddedTokens::Range> ranges;
  for (const Span& span : spans) {
    const size_t begin = joined.size();
    joined.append(impl_->subwords->spelled(span.text));
    if (!span.special || span.text.empty()) continue;
    if (!ranges.empty() && ranges.back().end == begin) {
      ranges.back().end = joined.size();
    } else {
      ranges.push_back({begin, joined.size()});
    }
  }
  return impl_->encode(joined, ranges);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool keep_special) const {
  std::string out;
  for (const int32_t id : ids) {
    const std::string_view bytes = token_bytes(id);
    if (keep_special || !is_special(id)) out.append(bytes);
  }
  return out;
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  return impl_->subwords->bytes()[impl_->checked_id(id)];
}

bool Tokenizer::is_special(int32_t id) const {
  return role_of(impl_->types[impl_->checked_id(id)]) == TokenRole::kControl;
}

bool Tokenizer::is_end_of_generation(int32_t id) const {
  return impl_->ends[impl_->checked_id(id)];
}

bool Tokenizer::names_control(std::string_view text) const {
  const std::vector<AddedTokens::Range> everywhere = {{0, text.size()}};
  size_t range = 0;
  for (size_t at = 0; at < text.size();) {
    const auto hit = impl_->added.find(text, at, everywhere, range);
    if (!hit) return false;
    if (is_special(hit->id)) return true;
    at = hit->end;
  }
  return false;
}

int32_t Tokenizer::vocab_size() const {
  return static_cast<int32_t>(impl_->data.tokens.size());
}

std::optional<int32_t> Tokenizer::find(std::string_view token) const {
  const int32_t id = impl_->subwords->find(token);
  if (id < 0) return std::nullopt;
  return id;
}

std::vector<uint8_t> Tokenizer::missing_bytes() const {
  std::vector<uint8_t> missing;
  for (int b = 0; b < 256; ++b) {
    const auto byte = static_cast<uint8_t>(b);
    if (impl_->subwords->byte_token(byte) < 0) missing.push_back(byte);
  }
  return missing;
}

const TokenizerData& Tokenizer::data() const {
  return impl_->data;
}

}  // namespace claa
