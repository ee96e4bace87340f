// The extension point: what decides which prompt tokens are computed and kept. A method never touches hidden
// states, the cache or a device; it asks for scores and answers with sets. Most methods are a ranker in one
// of two plain runs (claa/ranker.h). See docs/architecture.md and methods/_template.cc.
//
// Words: a *live* token is still in the residual stream; a *kept* entry is a K/V row stored in the cache; the
// *window* is the last prompt queries, which observe; a *budget* is how many to keep.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "claa/error.h"
#include "claa/export.h"
#include "claa/params.h"
#include "claa/scores.h"

namespace claa {

// Prompt positions [begin, end).
struct TokenRange {
  int64_t begin = 0, end = 0;
  bool operator==(const TokenRange&) const = default;
};

struct PromptInfo {
  int64_t tokens = 0;
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_size = 0;
  std::span<const int32_t> ids;             // the prompt; valid as long as the run
  uint64_t model_fingerprint = 0;           // of the weights; 0: unknown
  std::vector<TokenRange> protected_spans;  // ascending, disjoint: no drop and no cut takes these tokens
  // By layer, whether it has a sliding window; empty: none has. Such a layer does not see the whole prompt:
  // it cannot rank, is not asked to decide, and keeps an entry for every token that enters it.
  std::vector<bool> windowed = {};
  // By layer, whether it is recurrent: it sees a state in place of the prompt, and keeps no entries at all.
  std::vector<bool> recurrent = {};
  // A profile, made for this model, says what is kept.
  bool profiled = false;
  // The first layer that has no K and V of its own, as it and all after it read those of earlier ones, and
  // the first that such layers read; -1: all layers have their own. Layers without K and V of their own
  // neither rank nor decide. Tokens are dropped before the first layer that others read, so that all layers
  // after a drop have the same tokens.
  int first_shared = -1, first_read = -1;
};

// Whether a layer ranks: it sees the whole prompt and has K and V of its own.
CLAA_API bool sees_whole_prompt(const PromptInfo& prompt, int layer);
// Throws Error{kInvalidArgument}, with the layers that do, for a layer that does not.
CLAA_API void check_sees_whole_prompt(const PromptInfo& prompt, int layer);
// The same for a layer after which tokens stop being live, and, with recurrent layers, what holds for them:
// nothing is dropped before half depth, and without a profile at least a fifth is kept.
CLAA_API void check_drop(const PromptInfo& prompt, int layer);
CLAA_API void check_drop(const PromptInfo& prompt, int layer, int64_t budget, int64_t window);

// The view that a run has of one layer, valid for one call. The hook sits after Q, K, V and RoPE, before
// attention.
class CLAA_API LayerView {
 public:
  virtual ~LayerView() = default;
  virtual int layer() const = 0;
  virtual const PromptInfo& prompt() const = 0;
  virtual int64_t live() const = 0;                        // tokens that entered this layer
  virtual std::span<const int32_t> positions() const = 0;  // in the prompt, of the live tokens, ascending
  // [rows, tokens], tokens = live - window when drop_window is set. Throws when window exceeds live.
  virtual Scores scores(const ScoreSpec& spec) = 0;
  // [1, tokens] of several [heads, tokens]; `base` is the weight ratio of rank_sum.
  virtual Scores aggregate(std::span<const Scores> layers, Aggregator aggregator,
                           double base = kRankSumBase) = 0;
  // Per score row the best `budget - forced_tail` tokens plus the last `forced_tail` live tokens, ascending.
  // Protected tokens come before all others; a budget that cannot hold them is raised. Ties: higher score
  // first, then lower index. budget >= live gives "all".
  virtual KeepSet top_k(const Scores& scores, int64_t budget, int64_t forced_tail) = 0;
  // [1, values] from the host: scores that come from elsewhere, such as a ranking file.
  virtual Scores put(std::span<const float> values) = 0;
  // A set from host indices (ascending, unique, inside live), and the protected tokens beside them; for
  // methods that choose without scores.
  virtual KeepSet keep(std::vector<int32_t> indices) = 0;
  // Drafts at most `tokens` greedy tokens of an answer from the tokens in `kept` alone, in a pass of its own
  // that leaves the prefill as it was. Then `listen` sees every layer up to this one, the drafted tokens
  // being the last `fed` live ones; only their queries may be asked for scores. Returns `fed`: fewer when the
  // answer or the context ends, and `listen` is not called when it is 0. Layers up to this one must have
  // stored all of their live tokens, and must all have the same ones.
  virtual int64_t draft(const KeepSet& kept, int64_t tokens,
                        const std::function<void(LayerView&, int64_t fed)>& listen) = 0;
};

// The most tokens that a parameter may ask to be drafted.
constexpr int64_t kMostLookAhead = 64;

// How many prompt tokens the protected spans hold.
CLAA_API int64_t protected_tokens(const PromptInfo& prompt);

struct Decision {
  KeepSet live = {};  // tokens that go on after this layer; one row
  // K/V rows stored for decode: one row or one per KV head. None: the next layer that answers decides for
  // this one too; both must have the same live tokens.
  std::optional<KeepSet> kept = KeepSet{};
};

// Signs of how well a ranking can choose, taken from its scores, each in [0, 1] (docs/calibration.md).
struct RankingSignals {
  double outside = 0;     // share of the scores' sum that belongs to tokens that were not chosen
  double entropy = 0;     // of the scores as a distribution; 1: all tokens score alike
  double agreement = 0;   // share of the ranking's best twentieth that a head alone would name, mean of heads
  double confidence = 0;  // one number from them: high where the answer is likely to stay
};

// A method's report about one prompt: nothing is silent.
struct RunReport {
  bool active = false;                      // true if any token or cache entry was dropped
  std::string reason = {};                  // why not, in words, when inactive
  std::optional<int> selection_layer = {};  // where tokens stop being live; none: at the entry, or nowhere
  std::vector<float> scores =
      {};  // that chose, one per prompt token (the window may be missing); may be empty
  std::optional<RankingSignals> signals = {};  // of the ranking, where the method measures them
  std::string note = {};  // early drops, and what the method did otherwise than its parameters say, in words
};

// Attention of the last prompt token, and of the tokens that a model generates after it, back to the prompt:
// per query, head and layer a softmax over the prompt's keys alone, then the maximum over heads and layers,
// then the mean over queries (spec.md 5, 8.1).
struct LookAheadSpec {
  int64_t steps = 8;  // greedy tokens to feed; the end of the answer ends it earlier
  PoolKind pool = PoolKind::kAverage;
  int64_t kernel = 7;
  bool pool_first = true;  // pool before the maximum (SpecPrefill); false: once, after the mean (oracle)
  bool drafter = true;     // by the draft model, if there is one; false: always by the model itself
};

// A pass over the whole prompt before the real one, for methods that choose what enters layer 0: layers
// [0, last_layer], shown to Run::preview(), or a full pass with an answer, whose scores Run::entry() gets.
struct PreviewSpec {
  int last_layer = -1;
  std::optional<LookAheadSpec> look_ahead = {};  // when set, last_layer is not used
};

// Which prompt tokens start layer 0. An empty list means all. The last one's logits begin the answer.
struct Entry {
  std::vector<int32_t> tokens;  // ascending prompt positions; protected ones are added
  bool renumber = false;        // true: new positions 0..k-1; false: the original ones
  // Position of the first generated token; -1: after the prompt, or after the new positions.
  int64_t next_position = -1;
};

// All state of one prompt. Two prompts never share a Run. Only decide() and report() are needed by methods
// that work inside the one pass.
class CLAA_API Run {
 public:
  virtual ~Run() = default;
  virtual std::optional<PreviewSpec> preview_spec() const { return std::nullopt; }
  virtual void preview(LayerView& /*view*/) {}
  // Default: all tokens. `look_ahead`: one score per prompt token when preview_spec() asked for them.
  virtual Entry entry(std::vector<float> look_ahead);
  // Asked at the layers that see the whole prompt, in order.
  virtual Decision decide(LayerView& view) = 0;
  virtual RunReport report() const = 0;

  // Bounds for those who plan: known before the first layer, and never exceeded.
  // The first layer after which fewer tokens are live; -1: fewer enter layer 0; none: all live to the end.
  virtual std::optional<int> first_drop() const { return std::nullopt; }
  // True when decide() at this layer may drop live tokens; queries are then computed after it has answered.
  virtual bool may_drop(int layer) const { return first_drop() == layer; }
  // Most K/V rows per KV head that the cache of a layer ever holds, of a layer that sees the whole prompt;
  // none: one per token of the prompt.
  virtual std::optional<int64_t> most_kept(int /*layer*/) const { return std::nullopt; }
  // The last prompt tokens, which observe and are always kept.
  virtual int64_t window() const { return 0; }
};

// Immutable: a name and parameters.
class CLAA_API Method {
 public:
  virtual ~Method() = default;
  virtual const std::string& name() const = 0;
  virtual std::vector<std::pair<std::string, std::string>> params() const = 0;  // effective values
  virtual std::unique_ptr<Run> start(const PromptInfo& prompt) const = 0;
};

}  // namespace claa
