#include "eval/tasks/haystack.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "core/usize.h"
#include "eval/metrics/metric_text.h"

namespace claa::eval {
namespace {

constexpr std::array<std::string_view, 12> kAbbreviations = {"Mr",  "Mrs", "Ms", "Dr",   "St", "Capt",
                                                             "Col", "Gen", "No", "Prof", "vs", "etc"};

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// True if the word that `text` ends with is an abbreviation, cut short by the dot after it.
bool is_abbreviation(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0 && is_letter(text[begin - 1])) --begin;
  const std::string_view word = text.substr(begin);
  const bool initial = word.size() == 1 && word[0] >= 'A' && word[0] <= 'Z' && word != "I";
  return initial || std::find(kAbbreviations.begin(), kAbbreviations.end(), word) != kAbbreviations.end();
}

}  // namespace

Haystack::Haystack(const std::string& path, const ReadText& read)
    : text_(path.empty() ? std::string(bundled_haystack()) : read(path)), words_(split_words(text_)) {
  if (words_.empty()) {
    fail(ErrorCode::kInvalidArgument, "the haystack '{}' has no words; give a text file", path);
  }
}

std::string Haystack::first_words(int64_t count) const {
  std::string text;
  for (int64_t i = 0; i < count; ++i) {
    if (i > 0) text += ' ';
    text += words_[usize(i) % words_.size()];
  }
  return text;
}

std::vector<std::string_view> sentences(std::string_view text) {
  std::vector<std::string_view> parts;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '.' && text[i] != '!' && text[i] != '?') continue;
    if (text[i] == '.' && is_abbreviation(text.substr(begin, i - begin))) continue;
    size_t end = i + 1;
    while (end < text.size() && (text[end] == '"' || text[end] == '\'' || text[end] == ')')) ++end;
    if (end + 1 >= text.size() || text[end] != ' ') continue;
    if (text[end + 1] >= 'a' && text[end + 1] <= 'z') continue;
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
    i = end;
  }
  if (begin < text.size()) parts.push_back(text.substr(begin));
  return parts;
}

}  // namespace claa::eval
