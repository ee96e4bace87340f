// uniform: the floor control. The last tokens, the first ones, and a seeded random sample of the rest enter
// the model, at their original positions; a method that does no better has found nothing (spec.md 6). Of
// the middle, the tokens with the smallest keys are taken; the key of position i is output i of SplitMix64
// (Steele, Lea, Flood 2014), so that a sample depends on the seed alone and a larger budget keeps what a
// smaller one kept.
#include <algorithm>
#include <numeric>

#include "claa/ranker.h"
#include "core/usize.h"

namespace claa {
namespace {

struct UniformParams : SelectionParams {
  int64_t first = 32;
  int64_t last = 64;
  int64_t seed = 0;

  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    v.integer("first", first, 0, 65536, "first tokens, kept after the last ones if the budget allows");
    v.integer("last", last, 1, 65536, "last tokens, kept before all others");
    v.integer("seed", seed, 0, int64_t{1} << 62, "of the sample");
  }
};

uint64_t key(uint64_t seed, uint64_t position) {
  uint64_t z = seed + (position + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

EntryChoice choose(const UniformParams& params, int64_t tokens, int64_t budget) {
  const int64_t last = std::min(params.last, budget), first = std::min(params.first, budget - last);
  std::vector<int32_t> kept(usize(first)), middle(usize(tokens - last - first));
  std::iota(kept.begin(), kept.end(), 0);
  std::iota(middle.begin(), middle.end(), static_cast<int32_t>(first));
  const auto seed = static_cast<uint64_t>(params.seed);
  std::sort(middle.begin(), middle.end(), [&](int32_t a, int32_t b) {
    return key(seed, static_cast<uint64_t>(a)) < key(seed, static_cast<uint64_t>(b));
  });
  kept.insert(kept.end(), middle.begin(), middle.begin() + (budget - last - first));
  for (int64_t i = tokens - last; i < tokens; ++i) kept.push_back(static_cast<int32_t>(i));
  std::sort(kept.begin(), kept.end());
  return {{std::move(kept), false, -1}, {}};
}

std::unique_ptr<Run> start(const UniformParams& params, const PromptInfo& prompt) {
  EntryRun run;
  run.budget = params.live_budget().of(prompt.tokens, params.kFewest);
  run.choose = [params, tokens = prompt.tokens, budget = run.budget](std::vector<float> /*none*/) {
    return choose(params, tokens, budget);
  };
  return make_run(prompt, std::move(run));
}

}  // namespace

void register_uniform(MethodRegistry& registry) {
  add_method<UniformParams>(registry, "uniform", "first, last and random tokens enter: the floor control",
                            "-", start);
}

}  // namespace claa
