// How many tokens to keep: a fixed budget, and policies that choose one from what a ranking says.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "claa/export.h"
#include "claa/prefill.h"

namespace claa {

// A rate of the prompt or a count, and the window that is always kept.
struct CLAA_API Budget {
  double keep = 0.2;        // rate of the prompt
  int64_t keep_tokens = 0;  // when positive: a count instead of the rate

  // min(max(floor(tokens * keep), window), tokens), the product in double (spec.md 1.2).
  int64_t of(int64_t tokens, int64_t window) const;
};

// The `count` best of `scores` by (score desc, index asc), ascending: top-k on the host, for entries.
CLAA_API std::vector<int32_t> best_indices(std::span<const float> scores, int64_t count);

// A ranking that is about to choose, as a policy sees it.
struct RankedPrompt {
  int64_t tokens = 0, live = 0, window = 0;  // of the prompt, still live, always kept
  const Scores& ranking;                     // [1, live - window]
  std::span<const Scores> observers;         // the score rows that were added up to it, [rows, live - window]
  bool drops_live = false;                   // false: only cache entries may be dropped
};

struct Budgets {
  int64_t live = 0, kept = 0;  // tokens to live on, and cache entries per KV head
};

struct PolicyReport {
  std::optional<RankingSignals> signals = {};
  std::string note = {};  // why the budgets are not those of the parameters; empty: they are
};

// Changes budgets by what a ranking says. Policies of one run are asked in order, each with what the one
// before it answered.
class CLAA_API BudgetPolicy {
 public:
  virtual ~BudgetPolicy() = default;
  virtual Budgets choose(const RankedPrompt& ranked, Budgets planned, PolicyReport& report) const = 0;
  // The largest budget that it may answer when `planned` is given, for a prompt of `tokens`.
  virtual int64_t most(int64_t planned, int64_t /*tokens*/, int64_t /*window*/) const { return planned; }
};

// The fewest tokens with the share `mass` of the ranking's sum, at least the rate `floor` of the prompt and
// at most what was planned.
CLAA_API std::unique_ptr<BudgetPolicy> budget_by_mass(double mass, double floor);
// Where the ranking's confidence is below `least`, the rate `unsure_keep` of the prompt, if that is more than
// planned. Tokens dropped earlier cannot return. Measures signals, for which the scores come to the host.
CLAA_API std::unique_ptr<BudgetPolicy> budget_by_confidence(double least, double unsure_keep);

}  // namespace claa
