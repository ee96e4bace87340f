// Needle in a haystack (spec.md 10.3): one sentence at every depth of every length, and the model's own
// words after "Answer:". The wrapper is that of the published long-context comparisons.
#include <algorithm>
#include <array>

#include "core/check.h"
#include "core/counts.h"
#include "core/usize.h"
#include "eval/tasks/families.h"
#include "eval/tasks/generate.h"
#include "eval/tasks/haystack.h"

namespace claa::eval {
namespace {

constexpr const char* kNeedle =
    "\nThe best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny day.\n";
constexpr const char* kExpected = "eat a sandwich and sit in Dolores Park on a sunny day.";
constexpr const char* kQuestion = "The best thing to do in San Francisco is: ";
constexpr std::array<int, 10> kDepths = {0, 11, 22, 33, 44, 56, 67, 78, 89, 100};
// Tokens of the length that are kept free for the wrapper, the question and the answer.
constexpr int64_t kBuffer = 200;
constexpr int64_t kNiahTokens = 50;

// Inserts the needle at `percent` of the text, moved back to the end of a sentence, or to the start of the
// text if none comes before.
std::string with_needle(const std::string& text, int percent) {
  if (percent == 100) return text + kNeedle;
  size_t at = text.size() * usize(percent) / 100;
  while (at > 0 && text[at - 1] != '.') --at;
  return text.substr(0, at) + kNeedle + text.substr(at);
}

std::vector<int> depths(int64_t most) {
  const int64_t all = static_cast<int64_t>(kDepths.size());
  if (most == 0 || most >= all) return {kDepths.begin(), kDepths.end()};
  std::vector<int> some;
  for (int64_t i = 0; i < most; ++i) {  // evenly spread, with both ends
    some.push_back(kDepths[usize(most == 1 ? all / 2 : i * (all - 1) / (most - 1))]);
  }
  return some;
}

std::vector<Example> make_niah(const TaskOptions& options) {
  check_generation(options, "niah");
  const Haystack hay(options.haystack, options.read_text);
  std::vector<Example> examples;
  for (const int64_t length : options.lengths) {
    const int64_t budget = length - kBuffer;
    const auto fits = [&](int64_t words) {
      return options.count_tokens(hay.first_words(words) + kNeedle) <= budget;
    };
    const int64_t words = largest_fitting(1, 4 * length, fits);
    if (words < 1) {
      fail(ErrorCode::kInvalidArgument,
           "task 'niah': no text fits into {} tokens beside the needle and the {} tokens kept free; give a "
           "greater length",
           group_digits(length), group_digits(kBuffer));
    }
    const std::string text = hay.first_words(words);
    for (const int depth : depths(options.examples)) {
      Example example;
      example.id = fmt::format("niah/{}/{}", length, depth);
      example.task = example.group = "niah";
      example.prompt = fmt::format(
          "This is a very long story book: <book> {} </book>.\n Based on the content of the book, Question: "
          "{}\nAnswer:",
          with_needle(text, depth), kQuestion);
      example.chat = false;
      example.answers = {kExpected};
      example.metric = "needle";
      example.max_tokens = kNiahTokens;
      example.facets = {{"length", static_cast<double>(length)}, {"depth", depth}};
      examples.push_back(std::move(example));
    }
  }
  return examples;
}

}  // namespace

std::vector<TaskInfo> needle_tasks() {
  return {{"niah", "niah", "one sentence at ten depths of every length", "", make_niah}};
}

}  // namespace claa::eval
