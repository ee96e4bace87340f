#include "template/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/usize.h"
#include "template/jinja_literal.h"
#include "text/unicode.h"

namespace claa::jinja {
namespace {

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_name_part(char c) {
  return is_name_start(c) || (c >= '0' && c <= '9');
}

// Converts newlines to one kind and removes the one at the very end, as Jinja does when it reads a source.
std::string normalize(std::string_view source) {
  std::string result;
  result.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      result += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      result += source[i];
    }
  }
  if (!result.empty() && result.back() == '\n') result.pop_back();
  return result;
}

std::string_view strip_end(std::string_view text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 && (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80)
      --start;
    const CodePoint point = decode_character(text, start);
    if (start + point.size != text.size() || !is_space(point.value)) break;
    text = text.substr(0, start);
  }
  return text;
}

class Lexer {
 public:
  Lexer(std::string source, Context& context) : source_(std::move(source)), context_(context) {
    context_.line = 1;
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = find_tag(at_);
      push_text(at_, tag);
      if (tag == source_.size()) break;
      advance(tag + 2);
      read_tag(source_[tag + 1]);
    }
    push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool starts(std::string_view text) const { return rest().substr(0, text.size()) == text; }
  void push(TokenKind kind, std::string text) { tokens_.push_back({kind, context_.line, std::move(text)}); }

  // Moves to `offset`, counting lines.
  void advance(size_t offset) {
    context_.line +=
        static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                    source_.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
    at_ = offset;
  }

  size_t find_tag(size_t from) const {
    for (size_t i = from; i + 1 < source_.size(); ++i) {
      if (source_[i] == '{' && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#'))
        return i;
    }
    return source_.size();
  }

  // The text between two tags, [begin, end), without the whitespace that the tag at `end` removes.
  void push_text(size_t begin, size_t end) {
    std::string_view text = std::string_view(source_).substr(begin, end - begin);
    if (end < source_.size()) text = strip_before_tag(text, end);
    if (!text.empty()) push(TokenKind::kText, std::string(text));
    advance(end);
  }

  std::string_view strip_before_tag(std::string_view text, size_t tag) const {
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign == '-') return strip_end(text);
    if (sign == '+' || source_[tag + 1] == '{') return text;
    // lstrip_blocks: a tag that comes first on its line removes the indentation before it.
    const size_t newline = text.rfind('\n');
    if (newline == std::string_view::npos && !line_starting_) return text;
    const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    for (size_t i = line; i < text.size();) {
      const CodePoint point = decode_character(text, i);
      if (!is_space(point.value)) return text;
      i += point.size;
    }
    return text.substr(0, line);
  }

  void skip_space() {
    size_t offset = at_;
    while (offset < source_.size()) {
      const CodePoint point = decode_character(source_, offset);
      if (!is_space(point.value)) break;
      offset += point.size;
    }
    advance(offset);
  }

  // If a tag ends here with `close`, moves behind it and behind the whitespace that it trims.
  bool take_end(std::string_view close, bool trims_newline) {
    const bool strips = starts("-") && rest().substr(1, close.size()) == close;
    const bool keeps = trims_newline && starts("+") && rest().substr(1, close.size()) == close;
    if (!strips && !keeps && !starts(close)) return false;
    const size_t begin = at_;
    advance(at_ + close.size() + (strips || keeps ? 1 : 0));
    if (strips) {
      skip_space();
    } else if (trims_newline && !keeps && starts("\n")) {
      advance(at_ + 1);
    }
    line_starting_ = at_ > begin && source_[at_ - 1] == '\n';
    return true;
  }

  void read_tag(char kind) {
    if (starts("-") || (kind != '{' && starts("+"))) advance(at_ + 1);
    if (kind == '#') return read_comment();
    if (kind == '%' && read_raw()) return;
    push(kind == '%' ? TokenKind::kBlockBegin : TokenKind::kPrintBegin, "");
    read_tokens(kind);
  }

  void read_comment() {
    const int begin = context_.line;
    while (at_ < source_.size()) {
      if (take_end("#}", true)) return;
      advance(at_ + 1);
    }
    context_.line = begin;
    context_.fail("the comment is not closed");
  }

  // {% raw %} ... {% endraw %}: the text stays as it is.
  bool read_raw() {
    const size_t begin = at_;
    const int line = context_.line;
    skip_space();
    const auto restore = [&] {
      at_ = begin;
      context_.line = line;
      return false;
    };
    if (!starts("raw")) return restore();
    advance(at_ + 3);
    skip_space();
    if (!take_end("%}", true)) return restore();
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 2)) {
      const size_t text_begin = at_;
      const int text_line = context_.line;
      advance(tag + 2);
      if (starts("-") || starts("+")) advance(at_ + 1);
      skip_space();
      const bool ends = starts("endraw");
      if (ends) advance(at_ + 6);
      skip_space();
      const bool closes = ends && (starts("%}") || starts("-%}") || starts("+%}"));
      at_ = text_begin;
      context_.line = text_line;
      if (!closes) continue;
      push_text(text_begin, tag);
      advance(source_.find("endraw", at_) + 6);
      skip_space();
      take_end("%}", true);
      return true;
    }
    context_.line = line;
    context_.fail("{{% raw %}} is not closed");
  }

  void read_tokens(char kind) {
    const int begin = context_.line;
    open_.clear();
    while (true) {
      skip_space();
      if (at_ >= source_.size()) break;
      const int line = context_.line;
      if (open_.empty() && take_end(kind == '%' ? "%}" : "}}", kind == '%')) {
        tokens_.push_back({kind == '%' ? TokenKind::kBlockEnd : TokenKind::kPrintEnd, line, ""});
        return;
      }
      read_token();
    }
    context_.line = begin;
    context_.fail("the tag is not closed");
  }

  void read_token() {
    const char c = source_[at_];
    if (is_name_start(c)) {
      size_t end = at_;
      while (end < source_.size() && is_name_part(source_[end])) ++end;
      push(TokenKind::kName, source_.substr(at_, end - at_));
      at_ = end;
    } else if (c >= '0' && c <= '9') {
      // An index follows a dot: a.0.1 holds no float.
      const bool index =
          !tokens_.empty() && tokens_.back().kind == TokenKind::kOperator && tokens_.back().text == ".";
      const NumberLiteral number = scan_number(index ? rest().substr(0, rest().find('.')) : rest());
      push(number.is_float ? TokenKind::kFloat : TokenKind::kInteger, number.digits);
      at_ += number.size;
    } else if (c == '\'' || c == '"') {
      read_string(c);
    } else {
      read_operator();
    }
  }

  void read_string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) context_.fail("the string is not closed");
    push(TokenKind::kString, unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1), context_));
    advance(end + 1);
  }

  void read_operator() {
    static constexpr std::array<std::string_view, 8> kLong = {"//", "**", "==", "!=", ">=", "<=", "~", "|"};
    static constexpr std::string_view kShort = "+-*/%()[]{}<>=.:,";
    std::string op;
    for (const std::string_view candidate : kLong) {
      if (starts(candidate)) op = candidate;
      if (!op.empty()) break;
    }
    const char c = source_[at_];
    if (op.empty() && kShort.find(c) != std::string_view::npos) op = c;
    if (op.empty()) context_.fail("unexpected character {}", describe_character(rest()));
    if (c == '(' || c == '[' || c == '{') {
      if (open_.size() >= usize(context_.max_depth())) {
        context_.fail("nested deeper than {} levels", context_.max_depth());
      }
      open_ += c;
    }
    if (c == ')' || c == ']' || c == '}') {
      const char partner = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (open_.empty() || open_.back() != partner) context_.fail("unexpected '{}'", c);
      open_.pop_back();
    }
    at_ += op.size();
    push(TokenKind::kOperator, std::move(op));
  }

  std::string source_;
  Context& context_;
  std::vector<Token> tokens_;
  std::string open_;  // brackets open inside the current tag
  size_t at_ = 0;
  bool line_starting_ = true;  // the text that follows starts a line of the source
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, Context& context) {
  return Lexer(normalize(source), context).run();
}

}  // namespace claa::jinja
