// Expressions that cut text into words, as tokenizer.json files have them. They come from outside: those that
// do not compile are refused, and a match may take only so many steps.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace claa {

// The expression with \s and \S spelled out as Unicode's white space, and characters that are written \u1234
// written as PCRE2 does. PCRE2's own \s also matches U+180E, which stopped being white space in Unicode 6.3.
std::string with_unicode_space(std::string_view expression);

// One expression; immutable, shared by all threads.
class WordExpression {
 public:
  // Throws kUnsupported for an expression that does not compile; `source` names the file.
  WordExpression(const std::string& expression, const std::string& source);
  ~WordExpression();
  WordExpression(WordExpression&&) noexcept;
  WordExpression& operator=(WordExpression&&) noexcept;

  // Appends the pieces of valid UTF-8: matches and what is between them, none of them empty. Throws
  // kUnsupported where matching takes too many steps.
  void cut(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The words of a text by several expressions, each within the pieces of the one before it.
class WordCutter {
 public:
  WordCutter(const std::vector<std::string>& expressions, const std::string& source);
  std::vector<std::string_view> words(std::string_view valid_utf8) const;

 private:
  std::vector<WordExpression> expressions_;
};

}  // namespace claa
