// The text that needles are hidden in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/document.h"

namespace claa::eval {

// The text of assets/haystack.txt, compiled in.
std::string_view bundled_haystack();

// A text as a sequence of words with single blanks between them, which starts over when it ends.
class Haystack {
 public:
  // What `read` gives for the file, or the bundled text when `path` is empty. Throws as `read` does, and
  // Error{kInvalidArgument} for a file without words.
  Haystack(const std::string& path, const ReadText& read);
  std::string first_words(int64_t count) const;

 private:
  std::string text_;
  std::vector<std::string_view> words_;
};

// Cuts a text with single blanks at the ends of its sentences: . ! or ? with closing characters after it,
// then a blank, then no small letter. An abbreviation or an initial does not end a sentence. The parts joined
// by blanks are the text.
std::vector<std::string_view> sentences(std::string_view text);

}  // namespace claa::eval
