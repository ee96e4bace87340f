// ROUGE-L as the Python package `rouge` (pltrdy) 1.0.1 computes it, which differs from the textbook: common
// words are collected in one set over all pairs of sentences, and lengths are counts of distinct words.
#include <algorithm>
#include <unordered_map>

#include "core/usize.h"
#include "eval/metrics/metric_text.h"
#include "eval/metrics/metrics.h"
#include "text/utf8.h"

namespace claa::eval {
namespace {

using Sentence = std::vector<int32_t>;  // numbers of words

// Numbers words by first appearance; equal words get equal numbers.
class Vocabulary {
 public:
  int32_t number_of(std::string_view word) {
    return numbers_.try_emplace(word, static_cast<int32_t>(numbers_.size())).first->second;
  }
  size_t size() const { return numbers_.size(); }

 private:
  std::unordered_map<std::string_view, int32_t> numbers_;
};

// Splits at full stops. A piece of white space alone is a sentence of one empty word; an empty piece is
// dropped.
std::vector<Sentence> sentences_of(std::string_view text, Vocabulary& vocabulary) {
  std::vector<Sentence> sentences;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    if (end > begin) {
      Sentence sentence;
      for (std::string_view word : split_words(text.substr(begin, end - begin))) {
        sentence.push_back(vocabulary.number_of(word));
      }
      if (sentence.empty()) sentence.push_back(vocabulary.number_of(""));
      sentences.push_back(std::move(sentence));
    }
    begin = end + 1;
  }
  return sentences;
}

double count_distinct(const std::vector<Sentence>& sentences) {
  Sentence words;
  for (const Sentence& sentence : sentences) words.insert(words.end(), sentence.begin(), sentence.end());
  std::sort(words.begin(), words.end());
  return static_cast<double>(std::unique(words.begin(), words.end()) - words.begin());
}

// Marks the words of one longest common subsequence, the one that the original's backtrack takes; returns the
// number of calls that its recursion makes. One bit per cell suffices to walk back: whether the cell above
// (one reference word less) is strictly longer than the cell to the left.
int64_t mark_common_words(const Sentence& reference, const Sentence& candidate, std::vector<bool>& marked) {
  const size_t width = candidate.size();
  std::vector<bool> above_is_longer(reference.size() * width);
  std::vector<int32_t> above(width + 1), row(width + 1);
  for (size_t i = 0; i < reference.size(); ++i) {
    for (size_t j = 0; j < width; ++j) {
      if (reference[i] == candidate[j]) {
        row[j + 1] = above[j] + 1;
      } else {
        row[j + 1] = std::max(above[j + 1], row[j]);
        above_is_longer[i * width + j] = above[j + 1] > row[j];
      }
    }
    std::swap(above, row);
  }
  int64_t calls = 1;
  for (size_t i = reference.size(), j = width; i > 0 && j > 0; ++calls) {
    if (reference[i - 1] == candidate[j - 1]) {
      marked[usize(reference[i - 1])] = true;
      --i;
      --j;
    } else if (above_is_longer[(i - 1) * width + j - 1]) {
      --i;
    } else {
      --j;
    }
  }
  return calls;
}

}  // namespace

double rouge_l(std::string_view prediction, std::string_view answer, const RougeOptions& options) {
  const std::string candidate_text = replace_invalid_utf8(prediction);
  const std::string reference_text = replace_invalid_utf8(answer);
  Vocabulary vocabulary;
  const std::vector<Sentence> candidates = sentences_of(candidate_text, vocabulary);
  const std::vector<Sentence> references = sentences_of(reference_text, vocabulary);
  if (candidates.empty() || references.empty()) return 0;
  std::vector<bool> marked(vocabulary.size());
  for (const Sentence& reference : references) {
    for (const Sentence& candidate : candidates) {
      const int64_t calls = mark_common_words(reference, candidate, marked);
      if (options.recursion_limit && calls > options.most_calls) return 0;
    }
  }
  const double common = static_cast<double>(std::count(marked.begin(), marked.end(), true));
  const double recall = common / count_distinct(references);
  const double precision = common / count_distinct(candidates);
  return 2 * (precision * recall / (precision + recall + 1e-8));
}

}  // namespace claa::eval
