// The extension point: what decides which prompt tokens are computed and kept. A method never touches hidden
// states, the cache or a device; it asks for scores and answers with sets. See docs/architecture.md and
// methods/_template.cc.
//
// Words: a *live* token is still in the residual stream; a *kept* entry is a K/V row stored in the cache; the
// *window* are the last prompt queries that observe; a *budget* is how many to keep.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "claa/error.h"
#include "claa/params.h"

namespace claa {

// One operation, from the start of measuring.
struct StageSpan {
  double start_ms = 0, ms = 0;
};

// Time of a device by kind of work.
struct StageTime {
  std::string stage;  // "linear", "attention", "scores", "select", "rest"
  double ms = 0;
  double flops = 0;              // useful ones (causal attention counts what is visible); 0: not counted
  std::vector<StageSpan> spans;  // where the device says
};

// Scores on the device of the model: f32 [rows, tokens], one row per score head. Cheap to copy (shared).
class Scores {
 public:
  struct Impl;
  Scores() = default;
  explicit Scores(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  bool empty() const { return impl_ == nullptr; }
  int64_t rows() const;
  int64_t tokens() const;
  std::vector<float> to_host() const;  // row-major [rows, tokens]
  const Impl* impl() const { return impl_.get(); }

 private:
  std::shared_ptr<const Impl> impl_;
};

// A set of tokens: "all", or ascending indices into the live tokens of a layer, on the device, with a count
// that the host knows. rows() is 1 for a set shared by all KV heads, else the number of KV heads (equal
// counts).
class KeepSet {
 public:
  struct Impl;
  KeepSet() = default;  // all
  explicit KeepSet(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  bool all() const { return impl_ == nullptr; }
  int64_t rows() const;
  int64_t count() const;
  std::vector<int32_t> to_host() const;  // row-major [rows, count]
  const Impl* impl() const { return impl_.get(); }

 private:
  std::shared_ptr<const Impl> impl_;
};

enum class Reduce { kKeep, kSum, kMax };
enum class PoolKind { kNone, kAverage, kMax };

// One query head and its weight in a weighed sum of heads.
struct HeadWeight {
  int head = 0;
  float weight = 1;
};

// Attention of some query rows to all live keys, reduced in this order: softmax per row, drop the window's
// own columns, rows, pooling, (weights), query heads of a KV group, heads.
struct ScoreSpec {
  int64_t window = 8;       // observers: the last `window` live queries
  bool softmax = true;      // false: raw q.k
  bool scale = true;        // divide q.k by sqrt(head size)
  bool drop_window = true;  // the window's own columns take part in the softmax, then are dropped
  Reduce rows = Reduce::kSum;
  PoolKind pool = PoolKind::kAverage;
  int64_t kernel = 7;            // pooling width; zero padding counts (edges are attenuated)
  Reduce group = Reduce::kSum;   // over the query heads that share a KV head
  Reduce heads = Reduce::kKeep;  // over what remains
  std::vector<HeadWeight> only;  // when not empty: only these query heads, weighed; group must be kKeep
  bool normalize_heads = false;  // divide each head's scores by their sum over the prompt (before weights)
};

// Cross-layer aggregation of score rows [kv_heads, tokens] of several layers, oldest first
// (spec.md 2.4, 2.6).
enum class Aggregator { kRawMax, kZscoreMax, kRankSum, kSum, kSumSingle };

struct PromptInfo {
  int64_t tokens = 0;
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_size = 0;
  std::span<const int32_t> ids;    // the prompt; valid as long as the run
  uint64_t model_fingerprint = 0;  // of the weights; 0: unknown
};

// What a run sees at one layer, valid for one call of decide(). The hook sits after Q, K, V and RoPE, before
// attention.
class LayerView {
 public:
  virtual ~LayerView() = default;
  virtual int layer() const = 0;
  virtual const PromptInfo& prompt() const = 0;
  virtual int64_t live() const = 0;                        // tokens that entered this layer
  virtual std::span<const int32_t> positions() const = 0;  // in the prompt, of the live tokens, ascending
  // [rows, tokens], tokens = live - window when drop_window is set. Throws when window exceeds live.
  virtual Scores scores(const ScoreSpec& spec) = 0;
  // [1, tokens] of several [heads, tokens]; `base` is the weight ratio of rank_sum.
  virtual Scores aggregate(std::span<const Scores> layers, Aggregator aggregator, double base = 1.3) = 0;
  // Per score row the best `budget - forced_tail` tokens plus the last `forced_tail` live tokens, ascending.
  // Ties: higher score first, then lower index. budget >= live gives "all".
  virtual KeepSet top_k(const Scores& scores, int64_t budget, int64_t forced_tail) = 0;
  // [1, values] from the host: scores that come from elsewhere, such as a ranking file.
  virtual Scores put(std::span<const float> values) = 0;
  // A set from host indices (ascending, unique, inside live); for methods that choose without scores.
  virtual KeepSet keep(std::vector<int32_t> indices) = 0;
};

struct Decision {
  KeepSet live;  // tokens that go on after this layer; one row
  KeepSet kept;  // K/V rows stored for decode: one row or one per KV head
  // Earlier layers from this one on, which must have stored all of the same live tokens, are cut to `kept`
  // too; -1: none. For rankings that are known only now.
  int kept_since = -1;
  // When positive and tokens are dropped: after the last layer so many greedy tokens of an answer are
  // drafted, fewer if it ends before, then shown to Run::listen(), and decide() is asked for this layer and
  // those after it again; what it says then is final. Layers up to this one must have stored all of their
  // live tokens.
  int64_t look_ahead = 0;
};

// Most tokens that a parameter may ask to be drafted so.
constexpr int64_t kMostLookAhead = 64;

// What the scores of a ranking say about how well it can choose, each in [0, 1] (docs/calibration.md).
struct RankingSignals {
  double outside = 0;     // share of the scores' sum that the tokens not chosen have
  double entropy = 0;     // of the scores as a distribution; 1: all tokens score alike
  double agreement = 0;   // share of the ranking's best twentieth that a head alone would name, mean of heads
  double confidence = 0;  // one number from them: high where the answer is likely to stay
};

// What a method reports about one prompt: nothing is silent.
struct RunReport {
  bool active = false;                      // did anything get dropped
  std::string reason = {};                  // why not, in words, when inactive
  std::optional<int> selection_layer = {};  // where tokens stop being live; none: at the entry, or nowhere
  std::vector<float> scores = {};  // per prompt token (the window may be missing) that chose; may be empty
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

// Passes over the prompt before the real one, for methods that choose the tokens that enter layer 0.
class Passes {
 public:
  virtual ~Passes() = default;
  // Full prefill of layers 0..last_layer; `observe` is called at each; what it keeps is its own affair.
  virtual void run_layers(int last_layer, const std::function<void(LayerView&)>& observe) = 0;
  // Scores, one a prompt token, from a full prefill and `steps` decode steps.
  virtual std::vector<float> look_ahead(const LookAheadSpec& spec) = 0;
};

// Which prompt tokens start layer 0. An empty list means all. The last one's logits begin the answer.
struct Entry {
  std::vector<int32_t> tokens;  // ascending prompt positions
  bool renumber = false;        // true: new positions 0..k-1; false: the original ones
  // Position of the first generated token; -1: after the prompt, or after the new positions.
  int64_t next_position = -1;
};

// All state of one prompt. Two prompts never share a Run.
class Run {
 public:
  virtual ~Run() = default;
  virtual Entry entry(Passes& passes);  // default: all
  virtual Decision decide(LayerView& view) = 0;
  // True when decide() at this layer may drop live tokens; the runner then delays the queries until it has
  // answered.
  virtual bool may_drop(int layer) const = 0;
  virtual RunReport report() const = 0;
  // The last `fed` live tokens of the view are drafted ones (Decision::look_ahead), whose queries alone may
  // be asked for scores. Called for every layer up to that of the decision, unless the answer ended at once.
  virtual void listen(LayerView& /*view*/, int64_t /*fed*/) {}
  // True when it is known before the first layer that nothing will be dropped: then there must be memory for
  // whole caches.
  virtual bool keeps_all() const { return false; }
};

// Immutable: a name and parameters.
class Method {
 public:
  virtual ~Method() = default;
  virtual const std::string& name() const = 0;
  virtual std::vector<std::pair<std::string, std::string>> params() const = 0;  // effective values
  virtual std::unique_ptr<Run> start(const PromptInfo& prompt) const = 0;
};

// Selection that every method with a budget shares: a rate or a count, and the window that is always kept.
struct Budget {
  double keep = 0.2;        // rate of the prompt
  int64_t keep_tokens = 0;  // when positive: a count instead of the rate

  // min(max(floor(tokens * keep), window), tokens), the product in double (spec.md 1.2).
  int64_t of(int64_t tokens, int64_t window) const;
};

// The `count` best of `scores` by (score desc, index asc), ascending: top-k on the host, for entries.
std::vector<int32_t> best_indices(std::span<const float> scores, int64_t count);

struct MethodInfo {
  std::string name;
  std::string summary;  // one line
  std::string paper;    // where it comes from
  std::vector<ParamSpec> params;
  std::function<std::unique_ptr<Method>(const ParamValues&)> create;
};

class MethodRegistry {
 public:
  // Throws Error{kInternal} when the name is taken.
  void add(MethodInfo info);
  std::span<const MethodInfo> all() const { return methods_; }
  // Throws Error{kInvalidArgument} offering the names there are.
  const MethodInfo& find(std::string_view name) const;
  std::unique_ptr<Method> create(std::string_view name, const ParamValues& values) const;

 private:
  std::vector<MethodInfo> methods_;
};

// Every method of src/prefill/methods, in alphabetical order.
MethodRegistry builtin_methods();

}  // namespace claa
