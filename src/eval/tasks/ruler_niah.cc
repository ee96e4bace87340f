// The eight needle tasks of RULER (NVIDIA/RULER, scripts/data/synthetic/niah.py and synthetic.yaml):
// sentences "One of the special magic numbers for KEY is: VALUE." among essays, one repeated line, or
// sentences of their own kind. Wording, depths and the order of draws follow the original; docs/tasks.md
// lists the differences.
#include <algorithm>
#include <cmath>
#include <memory>

#include "core/check.h"
#include "core/usize.h"
#include "eval/tasks/families.h"
#include "eval/tasks/generate.h"
#include "eval/tasks/haystack.h"
#include "eval/tasks/words.h"

namespace claa::eval {
namespace {

enum class Hay { kNoise, kEssay, kNeedles };
enum class Kind { kNumber, kWord, kUuid };

struct NeedleTask {
  const char* name;
  Hay hay;
  Kind key, value;
  int64_t keys, values, queries;
  const char* summary;
};

constexpr NeedleTask kNeedleTasks[] = {
    {"niah_single_1", Hay::kNoise, Kind::kWord, Kind::kNumber, 1, 1, 1, "one number in a repeated line"},
    {"niah_single_2", Hay::kEssay, Kind::kWord, Kind::kNumber, 1, 1, 1, "one number in essays"},
    {"niah_single_3", Hay::kEssay, Kind::kWord, Kind::kUuid, 1, 1, 1, "one UUID in essays"},
    {"niah_multikey_1", Hay::kEssay, Kind::kWord, Kind::kNumber, 4, 1, 1, "one of four keys in essays"},
    {"niah_multikey_2", Hay::kNeedles, Kind::kWord, Kind::kNumber, 1, 1, 1, "one key among nothing but keys"},
    {"niah_multikey_3", Hay::kNeedles, Kind::kUuid, Kind::kUuid, 1, 1, 1, "one UUID key among UUID keys"},
    {"niah_multivalue", Hay::kEssay, Kind::kWord, Kind::kNumber, 1, 4, 1, "four values of one key in essays"},
    {"niah_multiquery", Hay::kEssay, Kind::kWord, Kind::kNumber, 4, 1, 4,
     "four keys asked at once in essays"},
};

constexpr const char* kNoiseLine =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

// In percent: 40 depths, evenly spaced, as whole numbers.
double depth_of(int64_t step) {
  return std::nearbyint(100.0 * static_cast<double>(step) / 39.0);
}

std::string draw(Random& random, Kind kind) {
  switch (kind) {
    case Kind::kNumber:
      return std::to_string(random.between(1000000, 9999999));
    case Kind::kWord:
      return random_compound(random);
    case Kind::kUuid:
      return random.uuid();
  }
  return {};
}

struct Needle {
  int64_t key = 0;
  std::string sentence;
};

// The text with its needles, and the depth in percent of every key's needle (the last one's, for a key with
// several values).
struct Context {
  std::string text;
  std::vector<double> depths;
};

std::string join(const std::vector<std::string>& parts, std::string_view between) {
  return fmt::format("{}", fmt::join(parts, between));
}

Context in_essays(Random& random, const std::vector<Needle>& needles, const Haystack& hay, int64_t words) {
  Context context;
  context.depths.resize(needles.size());
  const std::string text = hay.first_words(words);
  const std::vector<std::string_view> essay = sentences(text);
  std::vector<int64_t> steps = random.sample(40, static_cast<int64_t>(needles.size()));
  std::sort(steps.begin(), steps.end());
  std::vector<std::string> parts;
  size_t last = 0;
  const auto copy_to = [&](size_t end) {
    // An empty stretch stays an empty part, and so does a second blank, as in the original.
    parts.push_back(fmt::format("{}", fmt::join(essay.begin() + static_cast<std::ptrdiff_t>(last),
                                                essay.begin() + static_cast<std::ptrdiff_t>(end), " ")));
    last = end;
  };
  for (size_t i = 0; i < needles.size(); ++i) {
    const double depth = depth_of(steps[i]);
    copy_to(static_cast<size_t>(static_cast<double>(essay.size()) * (depth / 100)));
    parts.push_back(needles[i].sentence);
    context.depths[usize(needles[i].key)] = depth;
  }
  copy_to(essay.size());
  context.text = join(parts, " ");
  return context;
}

Context in_lines(Random& random, const std::vector<Needle>& needles, std::vector<std::string> lines) {
  Context context;
  context.depths.resize(needles.size());
  const int64_t count = static_cast<int64_t>(lines.size());
  std::vector<int64_t> places = random.sample(count, static_cast<int64_t>(needles.size()));
  std::sort(places.rbegin(), places.rend());
  for (size_t i = 0; i < needles.size(); ++i) {
    lines.insert(lines.begin() + places[i], needles[i].sentence);
    context.depths[usize(needles[i].key)] =
        100.0 * static_cast<double>(places[i]) / static_cast<double>(count);
  }
  context.text = join(lines, "\n");
  return context;
}

std::string needle_sentence(const NeedleTask& task, const std::string& key, const std::string& value) {
  return fmt::format("One of the special magic {} for {} is: {}.",
                     task.value == Kind::kUuid ? "uuids" : "numbers", key, value);
}

Context place(Random& random, const NeedleTask& task, const std::vector<std::string>& keys,
              const std::vector<Needle>& needles, const Haystack& hay, int64_t size) {
  if (task.hay == Hay::kEssay) return in_essays(random, needles, hay, size);
  std::vector<std::string> lines;
  for (int64_t i = 0; i < size; ++i) {
    if (task.hay == Hay::kNoise) {
      lines.push_back(kNoiseLine);
      continue;
    }
    std::string key = draw(random, task.key);
    // A second value of a requested key would be as right as the first.
    while (std::find(keys.begin(), keys.end(), key) != keys.end()) key = draw(random, task.key);
    lines.push_back(needle_sentence(task, key, draw(random, task.value)));
  }
  return in_lines(random, needles, std::move(lines));
}

// "a", "a, and b", "a, b, and c": the original puts a comma before every "and".
std::string enumerate(const std::vector<std::string>& names) {
  if (names.size() == 1) return names[0];
  return join({names.begin(), names.end() - 1}, ", ") + ", and " + names.back();
}

void ask(Draft& draft, const NeedleTask& task, const std::string& context,
         const std::vector<std::string>& queries) {
  const std::string kind = task.value == Kind::kUuid ? "uuid" : "number", query = enumerate(queries);
  if (task.queries * task.values == 1) {
    draft.prompt = fmt::format(
        "A special magic {0} is hidden within the following text. Make sure to memorize it. I will quiz you "
        "about the "
        "{0} afterwards.\n{1}\nWhat is the special magic {0} for {2} mentioned in the provided text?",
        kind, context, query);
    draft.answer_prefix =
        fmt::format(" The special magic {} for {} mentioned in the provided text is", kind, query);
  } else {
    draft.prompt = fmt::format(
        "Some special magic {0}s are hidden within the following text. Make sure to memorize it. I will quiz "
        "you about "
        "the {0}s afterwards.\n{1}\nWhat are all the special magic {0}s for {2} mentioned in the provided "
        "text?",
        kind, context, query);
    draft.answer_prefix =
        fmt::format(" The special magic {}s for {} mentioned in the provided text are", kind, query);
  }
}

Draft make(const NeedleTask& task, const Haystack& hay, Random& random, int64_t size) {
  std::vector<std::string> keys;
  std::vector<std::vector<std::string>> values;
  std::vector<Needle> needles;
  for (int64_t k = 0; k < task.keys; ++k) {
    std::string key = draw(random, task.key);
    while (std::find(keys.begin(), keys.end(), key) != keys.end()) key = draw(random, task.key);
    keys.push_back(key);
    values.emplace_back();
    for (int64_t v = 0; v < task.values; ++v) {
      values.back().push_back(draw(random, task.value));
      needles.push_back({k, needle_sentence(task, key, values.back().back())});
    }
  }
  random.shuffle(needles);
  const std::vector<int64_t> asked = random.sample(task.keys, task.queries);
  const Context context = place(random, task, keys, needles, hay, size);

  Draft draft;
  std::vector<std::string> queries;
  for (const int64_t k : asked) {
    const auto& of_key = values[usize(k)];
    queries.push_back(keys[usize(k)]);
    draft.answers.insert(draft.answers.end(), of_key.begin(), of_key.end());
  }
  ask(draft, task, context.text, queries);
  if (draft.answers.size() == 1) draft.facets["depth"] = context.depths[usize(asked[0])];
  return draft;
}

std::vector<Example> make_all(const NeedleTask& task, const TaskOptions& options) {
  check_generation(options, task.name);
  const Haystack hay(options.haystack, options.read_text);
  Generator generator;
  generator.task = task.name;
  generator.metric = "ruler_all";
  generator.max_tokens = 128;
  generator.make = [&](Random& random, int64_t size, int64_t) { return make(task, hay, random, size); };
  std::vector<Example> examples;
  for (const int64_t length : options.lengths) {
    for (Example& example : generate(generator, options, length)) examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace

std::vector<TaskInfo> ruler_needle_tasks() {
  std::vector<TaskInfo> tasks;
  for (const NeedleTask& task : kNeedleTasks) {
    tasks.push_back({task.name, "ruler", task.summary, "",
                     [&task](const TaskOptions& options) { return make_all(task, options); }});
  }
  return tasks;
}

}  // namespace claa::eval
