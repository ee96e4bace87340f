// specprefill: a draft model reads the prompt and looks a few tokens ahead; the tokens that it attends to
// enter the model, at their original positions. Paper: Speculative Prefill, arXiv 2502.02789. Score of token
// j: softmax over the prompt of each of the k + 1 queries (the last prompt token and k greedy draft tokens),
// average-pooled, maximum over layers and heads, mean over queries (spec.md 5).
//
// Differs from the published code:
// - a partial last chunk is averaged over its members instead of being lost, and the tail can be kept;
// - without a draft model the model drafts for itself;
// - probabilities are f32 instead of bf16;
// - budgets are at least 8 tokens.
#include <algorithm>
#include <numeric>

#include "claa/ranker.h"
#include "core/usize.h"

namespace claa {
namespace {

constexpr std::string_view kContinue[] = {"last_kept", "prompt"};

struct SpecPrefillParams : SelectionParams {
  int64_t steps = 8;
  int64_t chunk = 0;
  int64_t forced_tail = 0;
  std::string continue_after = "last_kept";

  template <class Visitor>
  void visit(Visitor& v) {
    visit_budget(v);
    v.integer("steps", steps, 0, 4096, "draft tokens to look ahead (k)");
    v.integer("kernel", kernel, 1, 4095, "width of the average pooling along the prompt");
    v.integer("chunk", chunk, 0, 65536, "choose whole chunks of this many tokens; 0: single tokens");
    v.integer("forced_tail", forced_tail, 0, 4096, "last prompt tokens that are always kept");
    v.choice("continue_after", continue_after, kContinue, "position that the answer's first token follows");
  }
};

// The best chunks by mean score of their members, as ascending tokens; at most `budget`, the best ones.
std::vector<int32_t> best_of_chunks(std::span<const float> scores, int64_t chunk, int64_t budget) {
  const int64_t tokens = static_cast<int64_t>(scores.size()), chunks = (tokens + chunk - 1) / chunk;
  std::vector<float> means;
  for (int64_t c = 0; c < chunks; ++c) {
    const auto members = scores.subspan(usize(c * chunk), usize(std::min(chunk, tokens - c * chunk)));
    means.push_back(std::accumulate(members.begin(), members.end(), 0.0f) /
                    static_cast<float>(members.size()));
  }
  std::vector<int32_t> kept;
  for (const int32_t c : best_indices(means, (chunks * budget + tokens - 1) / tokens)) {
    for (int64_t i = c * chunk; i < std::min((c + 1) * chunk, tokens); ++i)
      kept.push_back(static_cast<int32_t>(i));
  }
  if (static_cast<int64_t>(kept.size()) <= budget) return kept;
  std::vector<float> values;
  for (const int32_t i : kept) values.push_back(scores[usize(i)]);
  std::vector<int32_t> best;
  for (const int32_t i : best_indices(values, budget)) best.push_back(kept[usize(i)]);
  return best;
}

EntryChoice choose(const SpecPrefillParams& params, int64_t budget, std::vector<float> scores) {
  EntryChoice choice;
  choice.scores = std::move(scores);
  const int64_t tokens = static_cast<int64_t>(choice.scores.size());
  const int64_t tail = std::min(params.forced_tail, budget);
  const auto head = std::span<const float>(choice.scores).first(usize(tokens - tail));
  std::vector<int32_t>& kept = choice.entry.tokens;
  kept = params.chunk > 0 ? best_of_chunks(head, params.chunk, budget - tail)
                          : best_indices(head, budget - tail);
  for (int64_t i = tokens - tail; i < tokens; ++i) kept.push_back(static_cast<int32_t>(i));
  choice.entry.next_position = params.continue_after == "prompt" ? tokens : kept.back() + 1;
  return choice;
}

std::unique_ptr<Run> start(const SpecPrefillParams& params, const PromptInfo& prompt) {
  EntryRun run;
  run.budget = params.live_budget().of(prompt.tokens, params.kFewest);
  run.preview = PreviewSpec{.look_ahead = LookAheadSpec{.steps = params.steps, .kernel = params.kernel}};
  run.choose = [params, budget = run.budget](std::vector<float> scores) {
    return choose(params, budget, std::move(scores));
  };
  return make_run(prompt, std::move(run));
}

}  // namespace

void register_specprefill(MethodRegistry& registry) {
  add_method<SpecPrefillParams>(registry, "specprefill",
                                "a draft model's look-ahead picks the tokens that enter, positions unchanged",
                                "arXiv 2502.02789", start);
}

}  // namespace claa
