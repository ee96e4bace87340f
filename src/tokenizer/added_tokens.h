// Added tokens: tokens that stand in the text itself, such as "<|im_start|>", and are never merged from
// bytes.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace claa {

// Finds added tokens in text: leftmost, then longest. Control tokens count only where the caller allows them.
class AddedTokens {
 public:
  struct Token {
    std::string_view text;  // kept alive by the caller
    int32_t id;
    bool control;
  };
  struct Hit {
    size_t begin;
    size_t end;
    int32_t id;
  };
  // Half-open byte range of a text.
  struct Range {
    size_t begin;
    size_t end;
  };

  AddedTokens() = default;
  explicit AddedTokens(std::vector<Token> tokens);

  // First hit at or after `from`. Control tokens must lie inside one of `control_ranges` (ascending, not
  // touching). The caller owns `range_hint`: it starts at 0, then keeps the value of the previous call.
  std::optional<Hit> find(std::string_view text, size_t from, const std::vector<Range>& control_ranges,
                          size_t& range_hint) const;
  bool empty() const { return tokens_.empty(); }

 private:
  const Token* longest_at(std::string_view text, size_t pos, size_t control_end) const;

  std::vector<Token> tokens_;  // by text
  std::bitset<256> first_bytes_;
  bool has_user_defined_ = false;
};

}  // namespace claa
