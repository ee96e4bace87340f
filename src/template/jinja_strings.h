// Operations on strings that methods and filters share. All keep the marks of the bytes they copy.
#pragma once

#include <string_view>
#include <vector>

#include "template/jinja_context.h"
#include "text/unicode.h"

namespace claa::jinja {

enum class Side { kBoth, kLeft, kRight };

// Removes whitespace, or the characters of `chars`, from the ends.
Value strip(Context& context, const Text& text, const Text* chars, Side side);
// Replaces up to `count` occurrences, all when negative. The new text keeps its own marks.
Value replace(Context& context, const Text& text, const Text& old_text, const Text& new_text, int64_t count);
Value change_case(Context& context, const Text& text, Case mapping);
Value capitalize(Context& context, const Text& text);
// Capitalises the first letter of each word; a word begins where str.title() or the filter `title` says so.
enum class WordRule { kLetters, kSpaces };
Value title(Context& context, const Text& text, WordRule rule);
// Makes at most `limit` splits when not negative; splits at whitespace when `separator` is null.
std::vector<Value> split(Context& context, const Text& text, const Text* separator, int64_t limit);
std::vector<Value> split_from_right(Context& context, const Text& text, const Text* separator, int64_t limit);
std::vector<Value> split_lines(Context& context, const Text& text, bool keep_ends);
Value join(Context& context, const std::vector<Value>& items, const Text& separator);

}  // namespace claa::jinja
