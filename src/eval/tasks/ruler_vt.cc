// RULER's variable tracking (NVIDIA/RULER, scripts/data/synthetic/variable_tracking.py): one chain of five
// variables, four of them assigned from the one before, hidden in order in a repeated line; the question asks
// for all five. A solved example with three-letter variables in about 500 tokens comes first.
#include <algorithm>
#include <set>

#include "core/check.h"
#include "eval/tasks/families.h"
#include "eval/tasks/generate.h"

namespace claa::eval {
namespace {

constexpr const char* kNoise =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";
constexpr int64_t kHops = 4;
constexpr int64_t kExampleTokens = 500;  // for the solved example with its answer
constexpr int64_t kVtTokens = 30;

std::vector<std::string> draw_variables(Random& random, int64_t letters) {
  std::vector<std::string> names;
  while (static_cast<int64_t>(names.size()) < kHops + 1) {
    std::string name = random.letters(letters, 'A');
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

struct Chain {
  std::vector<std::string> variables;
  int64_t value = 0;
  std::vector<int64_t> places;  // indices of the lines before which they stand, ascending
};

struct VtQuestion {
  std::string prompt, answer_prefix;
};

VtQuestion ask(const Chain& chain, int64_t lines) {
  std::string context;
  size_t next = 0;
  for (int64_t line = 0; line < lines; ++line) {
    if (next < chain.places.size() && chain.places[next] == line) {
      // The blank after a copied variable is in the original.
      context += next == 0
                     ? fmt::format("VAR {} = {}\n", chain.variables[0], chain.value)
                     : fmt::format("VAR {} = VAR {} \n", chain.variables[next], chain.variables[next - 1]);
      ++next;
    }
    context += kNoise;
    if (line + 1 < lines) context += '\n';
  }
  return {fmt::format(
              "Memorize and track the chain(s) of variable assignment hidden in the following "
              "text.\n\n{}\nQuestion: Find all variables that are assigned the value {} in the text above.",
              context, chain.value),
          fmt::format(
              " Answer: According to the chain(s) of variable assignment in the text above, {} variables are "
              "assigned the value {}, they are: ",
              kHops + 1, chain.value)};
}

Chain draw_chain(Random& random, int64_t letters, int64_t lines) {
  Chain chain;
  chain.variables = draw_variables(random, letters);
  chain.value = random.between(10000, 99998);
  chain.places = random.sample(lines, kHops + 1);
  std::sort(chain.places.begin(), chain.places.end());
  return chain;
}

std::string solved(const Chain& chain, int64_t lines) {
  const VtQuestion question = ask(chain, lines);
  return fmt::format("{}{} {}\n\n", question.prompt, question.answer_prefix, fmt::join(chain.variables, " "));
}

// As many lines as fit 500 tokens, the same for all examples of a run; the smallest number if none fits.
int64_t example_lines(const TaskOptions& options) {
  const auto fits = [&](int64_t lines) {
    Random random(options.seed, "vt example", kExampleTokens, 0);
    const VtQuestion question = ask(draw_chain(random, 3, lines), lines);
    return options.count_tokens(question.prompt + question.answer_prefix) + kVtTokens <= kExampleTokens;
  };
  return std::max(kHops + 1, largest_fitting(kHops + 1, kExampleTokens, fits));
}

Draft make(const TaskOptions& options, int64_t lines_of_example, Random& random, int64_t lines) {
  // Value and places of the solved example are fixed for the run, its names are new in every example.
  Random of_run(options.seed, "vt example", kExampleTokens, 0);
  Chain shown = draw_chain(of_run, 3, lines_of_example);
  shown.variables = draw_variables(random, 3);
  Chain chain = draw_chain(random, 5, lines);
  if (chain.value == shown.value) chain.value = chain.value == 99998 ? 10000 : chain.value + 1;

  Draft draft;
  VtQuestion question = ask(chain, lines);
  draft.prompt = solved(shown, lines_of_example) + question.prompt;
  draft.answer_prefix = std::move(question.answer_prefix);
  draft.answers = std::move(chain.variables);
  return draft;
}

std::vector<Example> make_vt(const TaskOptions& options) {
  check_generation(options, "vt");
  const int64_t lines_of_example = example_lines(options);
  Generator generator;
  generator.task = "vt";
  generator.metric = "ruler_all";
  generator.max_tokens = kVtTokens;
  generator.least = kHops + 1;
  generator.make = [&](Random& random, int64_t lines, int64_t) {
    return make(options, lines_of_example, random, lines);
  };
  std::vector<Example> examples;
  for (const int64_t length : options.lengths) {
    for (Example& example : generate(generator, options, length)) examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace

std::vector<TaskInfo> ruler_tracking_tasks() {
  return {{"vt", "ruler", "all variables of a chain of assignments", "", make_vt}};
}

}  // namespace claa::eval
