#include "tokenizer/added_tokens.h"

#include <algorithm>

namespace claa {

AddedTokens::AddedTokens(std::vector<Token> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const Token& t) { return t.text.empty(); });
  std::sort(tokens_.begin(), tokens_.end(), [](const Token& a, const Token& b) { return a.text < b.text; });
  const auto same_text = [](const Token& a, const Token& b) { return a.text == b.text; };
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), same_text), tokens_.end());
  for (const Token& t : tokens_) {
    first_bytes_.set(static_cast<uint8_t>(t.text.front()));
    has_user_defined_ = has_user_defined_ || !t.control;
  }
}

// Narrows the sorted list byte by byte to the tokens that agree with the text so far; a token that ends here
// is the first of its range.
const AddedTokens::Token* AddedTokens::longest_at(std::string_view text, size_t pos,
                                                  size_t control_end) const {
  const Token* best = nullptr;
  auto low = tokens_.begin();
  auto high = tokens_.end();
  for (size_t depth = 0; pos + depth < text.size(); ++depth) {
    const auto byte = static_cast<uint8_t>(text[pos + depth]);
    const auto byte_of = [&](const Token& t) { return static_cast<uint8_t>(t.text[depth]); };
    low = std::partition_point(low, high, [&](const Token& t) { return byte_of(t) < byte; });
    high = std::partition_point(low, high, [&](const Token& t) { return byte_of(t) == byte; });
    if (low == high) break;
    if (low->text.size() == depth + 1) {
      if (!low->control || pos + depth + 1 <= control_end) best = &*low;
      if (++low == high) break;
    }
  }
  return best;
}

std::optional<AddedTokens::Hit> AddedTokens::find(std::string_view text, size_t from,
                                                  const std::vector<Range>& control_ranges,
                                                  size_t& range_hint) const {
  if (tokens_.empty()) return std::nullopt;
  for (size_t pos = from; pos < text.size(); ++pos) {
    while (range_hint < control_ranges.size() && control_ranges[range_hint].end <= pos) ++range_hint;
    const bool in_range = range_hint < control_ranges.size() && control_ranges[range_hint].begin <= pos;
    if (!in_range && !has_user_defined_) {  // nothing can match before the next range
      if (range_hint == control_ranges.size()) return std::nullopt;
      pos = control_ranges[range_hint].begin;
    }
    if (!first_bytes_.test(static_cast<uint8_t>(text[pos]))) continue;
    const size_t control_end = in_range || !has_user_defined_ ? control_ranges[range_hint].end : 0;
    const Token* token = longest_at(text, pos, control_end);
    if (token != nullptr) return Hit{pos, pos + token->text.size(), token->id};
  }
  return std::nullopt;
}

}  // namespace claa
