// RULER's two aggregation tasks (NVIDIA/RULER, scripts/data/synthetic/common_words_extraction.py and
// freq_words_extraction.py).
#include <algorithm>
#include <cmath>
#include <set>

#include "core/check.h"
#include "core/usize.h"
#include "eval/tasks/families.h"
#include "eval/tasks/generate.h"
#include "eval/tasks/words.h"

namespace claa::eval {
namespace {

constexpr int64_t kCommon = 10;

// `count` distinct words: from the lists, then compounds of them, because long prompts need more words than
// the lists have.
std::vector<std::string> draw_words(Random& random, int64_t count) {
  static const std::vector<std::string_view> all = [] {
    std::vector<std::string_view> words = nouns();
    words.insert(words.end(), adjectives().begin(), adjectives().end());
    words.insert(words.end(), verbs().begin(), verbs().end());
    return words;
  }();
  const int64_t listed = static_cast<int64_t>(all.size());
  // All of them are drawn, so that a longer list begins with the words of a shorter one.
  std::vector<std::string> words;
  for (const int64_t i : random.sample(listed, listed)) {
    if (static_cast<int64_t>(words.size()) < count) words.emplace_back(all[usize(i)]);
  }
  std::set<std::string> compounds;
  while (static_cast<int64_t>(words.size()) < count) {
    std::string compound = random_compound(random);
    if (compounds.insert(compound).second) words.push_back(std::move(compound));
  }
  return words;
}

struct WordList {
  std::string text;
  std::vector<std::string> common;
};

WordList word_list(Random& random, int64_t words, int64_t common_repeats, int64_t other_repeats) {
  const std::vector<std::string> drawn = draw_words(random, words);
  std::vector<std::string_view> entries;
  for (size_t i = 0; i < drawn.size(); ++i) {
    const int64_t repeats = static_cast<int64_t>(i) < kCommon ? common_repeats : other_repeats;
    entries.insert(entries.end(), usize(repeats), drawn[i]);
  }
  random.shuffle(entries);
  WordList list;
  for (size_t i = 0; i < entries.size(); ++i) {
    list.text += fmt::format("{}{}. {}", i == 0 ? "" : " ", i + 1, entries[i]);
  }
  list.common.assign(drawn.begin(), drawn.begin() + kCommon);
  return list;
}

std::string common_question(const WordList& list) {
  return fmt::format(
      "Below is a numbered list of words. In these words, some appear more often than others. Memorize the "
      "ones that "
      "appear most often.\n{}\nQuestion: What are the 10 most common words in the above list?",
      list.text);
}

std::vector<Example> common_words(const TaskOptions& options) {
  check_generation(options, "cwe");
  std::vector<Example> examples;
  for (const int64_t length : options.lengths) {
    // The original's two settings: the counted words get rarer where there is little room.
    const bool small = length < 4096;
    Generator generator;
    generator.task = "cwe";
    generator.metric = "ruler_all";
    generator.max_tokens = 120;
    generator.least = kCommon + 1;
    generator.make = [small](Random& random, int64_t words, int64_t) {
      const WordList shown = small ? word_list(random, 20, 3, 1) : word_list(random, 40, 10, 3);
      const WordList list = small ? word_list(random, words, 6, 1) : word_list(random, words, 30, 3);
      Draft draft;
      draft.answer_prefix = " Answer: The top 10 words that appear most often in the list are:";
      draft.prompt = common_question(shown) + draft.answer_prefix;
      for (size_t i = 0; i < shown.common.size(); ++i) {
        draft.prompt += fmt::format(" {}. {}", i + 1, shown.common[i]);
      }
      draft.prompt += "\n" + common_question(list);
      draft.answers = list.common;
      return draft;
    };
    for (Example& example : generate(generator, options, length)) examples.push_back(std::move(example));
  }
  return examples;
}

constexpr double kZeta2 = 1.6449340668482264;  // the sum of 1 / k^2

// From here on ranks 4 and 5 differ by a whole word, so that the third answer is the only right one: words /
// zeta(2) * (1/16 - 1/25) >= 1.
constexpr int64_t kLeastCoded = 74;

// How often the word of each rank occurs among `words`, rank 1 first, rounded down.
std::vector<int64_t> zipf_counts(int64_t words, int64_t ranks) {
  std::vector<int64_t> counts;
  for (int64_t k = 1; k <= ranks; ++k) {
    const double rank = static_cast<double>(k);
    counts.push_back(static_cast<int64_t>(static_cast<double>(words) / (rank * rank) / kZeta2));
  }
  return counts;
}

Draft coded_text(Random& random, int64_t words, int64_t vocabulary) {
  std::vector<std::string> vocab;
  std::set<std::string> seen;
  while (static_cast<int64_t>(vocab.size()) < vocabulary) {
    std::string word = random.letters(6, 'a');
    if (seen.insert(word).second) vocab.push_back(std::move(word));
  }
  vocab[0] = "...";  // the most frequent one is noise
  const std::vector<int64_t> counts = zipf_counts(words, vocabulary);
  std::vector<std::string_view> text;
  for (size_t i = 0; i < vocab.size(); ++i) text.insert(text.end(), usize(counts[i]), vocab[i]);
  random.shuffle(text);
  Draft draft;
  draft.prompt = fmt::format(
      "Read the following coded text and track the frequency of each coded word. Find the three most "
      "frequently "
      "appeared coded words. {}\nQuestion: Do not provide any explanation. Please ignore the dots '....'. "
      "What are the "
      "three most frequently appeared words in the above coded text?",
      fmt::join(text, " "));
  draft.answer_prefix =
      " Answer: According to the coded text above, the three most frequently appeared words are:";
  draft.answers.assign(vocab.begin() + 1, vocab.begin() + 4);
  return draft;
}

std::vector<Example> frequent_words(const TaskOptions& options) {
  check_generation(options, "fwe");
  std::vector<Example> examples;
  for (const int64_t length : options.lengths) {
    const int64_t vocabulary = std::max<int64_t>(5, length / 50);
    Generator generator;
    generator.task = "fwe";
    generator.metric = "ruler_all";
    generator.max_tokens = 50;
    generator.least = kLeastCoded;
    generator.make = [vocabulary](Random& random, int64_t words, int64_t) {
      return coded_text(random, words, vocabulary);
    };
    for (Example& example : generate(generator, options, length)) examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace

std::vector<TaskInfo> ruler_aggregation_tasks() {
  return {{"cwe", "ruler", "the ten most common words of a numbered list", "", common_words},
          {"fwe", "ruler", "the three most frequent words of a coded text", "", frequent_words}};
}

}  // namespace claa::eval
