// Scores of answers, as the published benchmarks count them (spec.md 10.1 to 10.3). Every score is in [0, 1]
// for one answer. Texts are UTF-8, ill-formed bytes read as U+FFFD; no content makes a function throw.
// "Word", "lower case" and "white space" are Python's (tokenizer/unicode_text.h), because the published
// numbers were computed there.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace claa::eval {

// F1 of the multisets of words after lower-casing, dropping ASCII punctuation and the words a, an, the.
double qa_f1(std::string_view prediction, std::string_view answer);

struct RougeOptions {
  // The Python package finds a common subsequence by recursion and fails, which LongBench scores 0, when a
  // pair of sentences needs more calls than Python allows. If set, such a pair scores 0 here too.
  bool recursion_limit = false;
  // The part of Python's limit of 1000 that is left to a function called from a script (measured with Python
  // 3.11).
  int64_t most_calls = 991;
};
// The f value of the package `rouge` 1.0.1, summary level, exclusive. 0 for a text without sentences. Time,
// and memory of one bit per cell, grow with the product of the lengths of two sentences.
double rouge_l(std::string_view prediction, std::string_view answer, const RougeOptions& options = {});

// 1 / number of classes named in the prediction if the answer is one of them, else 0. A class that is a
// proper part of the answer does not count, except where the original skips it: see the source.
double classification_score(std::string_view prediction, std::string_view answer,
                            std::span<const std::string> all_classes);

// Share of the integers in the prediction that equal the N of "Paragraph N" in the answer. They are compared
// as written: 07 is not 7. 0 without integers, and for an answer that names no paragraph.
double retrieval_score(std::string_view prediction, std::string_view answer);
// Share of the integers in the prediction that equal the answer, compared as written.
double count_score(std::string_view prediction, std::string_view answer);

// fuzz_ratio / 100 of the answer and the first line of the prediction without `, # and //.
double code_sim_score(std::string_view prediction, std::string_view answer);

// 0 to 100: fuzz.ratio of fuzzywuzzy 0.18 on difflib.SequenceMatcher, without python-Levenshtein, whose ratio
// differs by a few points. Characters that are frequent in a long `b` start no match ("autojunk"), so the
// order matters. Quadratic except for texts whose matches split very unevenly, as in difflib.
int fuzz_ratio(std::string_view a, std::string_view b);

// RULER: the share of references that occur in the prediction, and 1 if any does, both without regard to
// case. 0 without references.
double ruler_string_match_all(std::string_view prediction, std::span<const std::string> references);
double ruler_string_match_part(std::string_view prediction, std::span<const std::string> references);

// Needle in a haystack: share of the distinct lower-cased words of `expected` that the response has.
struct NeedleScore {
  double as_is = 0;     // words with their punctuation, as published
  double stripped = 0;  // ASCII punctuation removed at both ends of every word
};
NeedleScore needle_token_score(std::string_view response, std::string_view expected);

// The LongBench tasks that have a score here, in the order of the published tables.
std::vector<std::string_view> longbench_tasks();

// The best score over the answers, after the cut to the first line that some tasks have. Only trec and lsht
// use `all_classes`. An unknown task is Error{kInvalidArgument}.
double longbench_score(std::string_view task, std::string_view prediction,
                       std::span<const std::string> answers, std::span<const std::string> all_classes = {},
                       const RougeOptions& rouge = {});

}  // namespace claa::eval
