#include "eval/metrics/metrics.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <unordered_map>

#include "eval/metrics/metric_text.h"
#include "text/unicode.h"
#include "text/unicode_text.h"
#include "text/utf8.h"

namespace claa::eval {
namespace {

// Articles are words in the sense of a regular expression, so quotation marks and dashes beyond ASCII, which
// stay in the text, end a word too. Each removed article leaves a blank.
std::string without_articles(std::string_view text) {
  std::string result;
  size_t offset = 0;
  while (offset < text.size()) {
    const size_t begin = offset;
    size_t end = offset;
    while (end < text.size()) {
      const CodePoint c = decode_character(text, end);
      if (!is_word_character(c.value)) break;
      end += c.size;
    }
    const std::string_view word = text.substr(begin, end - begin);
    result += word == "a" || word == "an" || word == "the" ? " " : word;
    offset = end;
    if (offset < text.size()) {
      const size_t size = decode_character(text, offset).size;
      result += text.substr(offset, size);
      offset += size;
    }
  }
  return result;
}

std::string normalized_answer(std::string_view text) {
  std::string lower = lower_case(text);
  std::erase_if(lower, is_ascii_punctuation);
  return without_articles(lower);
}

std::vector<std::string_view> integers_of(std::string_view text) {
  std::vector<std::string_view> integers;
  size_t begin = 0;
  for (size_t offset = 0; offset < text.size();) {
    const CodePoint c = decode_character(text, offset);
    if (!is_digit(c.value)) {
      if (offset > begin) integers.push_back(text.substr(begin, offset - begin));
      begin = offset + c.size;
    }
    offset += c.size;
  }
  if (text.size() > begin) integers.push_back(text.substr(begin));
  return integers;
}

double share_of_integers(std::string_view text, std::string_view wanted) {
  const std::vector<std::string_view> integers = integers_of(text);
  if (integers.empty()) return 0;
  const auto hits = std::count(integers.begin(), integers.end(), wanted);
  return static_cast<double>(hits) / static_cast<double>(integers.size());
}

// The digits after the first "Paragraph " that has some.
std::string_view paragraph_number(std::string_view text) {
  constexpr std::string_view kWord = "Paragraph ";
  for (size_t at = text.find(kWord); at != std::string_view::npos; at = text.find(kWord, at + 1)) {
    const size_t begin = at + kWord.size();
    size_t end = begin;
    while (end < text.size()) {
      const CodePoint c = decode_character(text, end);
      if (!is_digit(c.value)) break;
      end += c.size;
    }
    if (end > begin) return text.substr(begin, end - begin);
  }
  return {};
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

int64_t references_found(std::string_view prediction, std::span<const std::string> references) {
  const std::string text = lower_case(prediction);
  return std::count_if(references.begin(), references.end(),
                       [&](const std::string& reference) { return contains(text, lower_case(reference)); });
}

std::set<std::string_view> distinct_words(std::string_view text, bool strip) {
  std::set<std::string_view> words;
  for (std::string_view word : split_words(text)) {
    while (strip && !word.empty() && is_ascii_punctuation(word.front())) word.remove_prefix(1);
    while (strip && !word.empty() && is_ascii_punctuation(word.back())) word.remove_suffix(1);
    if (!word.empty()) words.insert(word);
  }
  return words;
}

double share_of_words(std::string_view response, std::string_view expected, bool strip) {
  const std::set<std::string_view> have = distinct_words(response, strip);
  const std::set<std::string_view> want = distinct_words(expected, strip);
  if (want.empty()) return 0;
  const auto hits = std::count_if(want.begin(), want.end(), [&](auto word) { return have.count(word) > 0; });
  return static_cast<double>(hits) / static_cast<double>(want.size());
}

}  // namespace

double qa_f1(std::string_view prediction, std::string_view answer) {
  const std::string prediction_text = normalized_answer(prediction);
  const std::string answer_text = normalized_answer(answer);
  const std::vector<std::string_view> predicted = split_words(prediction_text);
  const std::vector<std::string_view> wanted = split_words(answer_text);
  std::unordered_map<std::string_view, int64_t> left;
  for (std::string_view word : wanted) ++left[word];
  int64_t common = 0;
  for (std::string_view word : predicted) {
    const auto found = left.find(word);
    if (found != left.end() && found->second-- > 0) ++common;
  }
  if (common == 0) return 0;
  const double precision = static_cast<double>(common) / static_cast<double>(predicted.size());
  const double recall = static_cast<double>(common) / static_cast<double>(wanted.size());
  return 2 * precision * recall / (precision + recall);
}

// The original removes from the list that it walks over, so the entry after a removed one is not looked at.
// This is kept, since it changes scores.
double classification_score(std::string_view prediction, std::string_view answer,
                            std::span<const std::string> all_classes) {
  const std::string text = replace_invalid_utf8(prediction);
  const std::string gold = replace_invalid_utf8(answer);
  std::vector<std::string> named;
  for (const std::string& name : all_classes) {
    std::string valid = replace_invalid_utf8(name);
    if (contains(text, valid)) named.push_back(std::move(valid));
  }
  for (size_t i = 0; i < named.size(); ++i) {
    const bool part = named[i] != gold && contains(gold, named[i]);
    if (part) named.erase(named.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (std::find(named.begin(), named.end(), gold) == named.end()) return 0;
  return 1.0 / static_cast<double>(named.size());
}

double retrieval_score(std::string_view prediction, std::string_view answer) {
  const std::string_view wanted = paragraph_number(answer);
  return wanted.empty() ? 0 : share_of_integers(prediction, wanted);
}

double count_score(std::string_view prediction, std::string_view answer) {
  return share_of_integers(prediction, answer);
}

double ruler_string_match_all(std::string_view prediction, std::span<const std::string> references) {
  if (references.empty()) return 0;
  return static_cast<double>(references_found(prediction, references)) /
         static_cast<double>(references.size());
}

double ruler_string_match_part(std::string_view prediction, std::span<const std::string> references) {
  return references_found(prediction, references) > 0 ? 1 : 0;
}

NeedleScore needle_token_score(std::string_view response, std::string_view expected) {
  const std::string have = lower_case(response);
  const std::string want = lower_case(expected);
  return {share_of_words(have, want, false), share_of_words(have, want, true)};
}

}  // namespace claa::eval
