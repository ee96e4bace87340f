// Ranker: the short way to a new method. A ranker turns a layer into scores; the schedule, budgets, forced
// window and top-k come from make_ranked_run(). See src/prefill/methods/_template.cc for a whole method.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "claa/heads.h"
#include "claa/prefill.h"

namespace claa {

// Parameters that every method with a budget shares; a method's struct derives from it and adds its own.
struct SelectionParams {
  // Budgets below it are raised to it, also by methods without a window (spec.md 1.2).
  static constexpr int64_t kFewest = 8;

  double keep = 0.2;
  int64_t keep_tokens = 0;
  double kv_keep = 0;
  int64_t kv_keep_tokens = 0;
  int64_t window = 8;
  int64_t kernel = 7;
  std::string pooling = "avg";
  int64_t first_layer = 0;
  int64_t selection_layer = -1;

  template <class Visitor>
  void visit_budget(Visitor& v) {
    v.number("keep", keep, 0.0001, 1, "rate of the prompt's tokens to keep");
    v.integer("keep_tokens", keep_tokens, 0, int64_t{1} << 40,
              "tokens to keep, instead of a rate; 0: use keep");
  }
  template <class Visitor>
  void visit_kv(Visitor& v) {
    v.number("kv_keep", kv_keep, 0, 1, "rate of cache entries to keep; 0: as keep");
    v.integer("kv_keep_tokens", kv_keep_tokens, 0, int64_t{1} << 40, "cache entries to keep; 0: use kv_keep");
    v.integer("first_layer", first_layer, 0, 4096, "layers below it keep their whole cache (the paper's m)");
  }
  template <class Visitor>
  void visit_scores(Visitor& v) {
    static constexpr std::string_view kPooling[] = {"avg", "max", "none"};
    v.integer("window", window, 1, 4096, "last prompt queries that observe; always kept (W)");
    v.integer("kernel", kernel, 1, 4095, "width of the pooling along the prompt");
    v.choice("pooling", pooling, kPooling, "how neighbours share scores");
  }
  template <class Visitor>
  void visit_selection(Visitor& v) {
    v.integer("selection_layer", selection_layer, -1, 4096,
              "layer after which only the kept tokens live on, from 0; -1: the layer at half depth");
  }

  Budget live_budget() const { return {keep, keep_tokens}; }
  // The cache follows the live budget unless it has one of its own.
  Budget kept_budget() const;
  ScoreSpec score_spec() const;  // per KV head [kv_heads, live - window] (spec.md 2.2)
  // Resolves -1 and refuses a layer that the model lacks or that is its last (nothing would be saved).
  int selection_layer_of(const PromptInfo& prompt) const;
};

// When a ranked run scores and drops.
struct RankSchedule {
  int selection_layer = -1;  // -1: tokens never stop being live
  int first_layer = 0;       // cache entries are dropped from this layer on
  int history = 1;           // layers up to the selection layer whose scores choose the live tokens
  int64_t window = 8;
  Budget live;
  Budget kept;
  // One ranking for all: what chooses the live tokens at the selection layer also chooses every layer's cache
  // entries from first_layer on, those of earlier layers in hindsight. rank() is called up to the selection
  // layer and may return no scores for a layer that has no say.
  bool one_ranking = false;
  // With one ranking only: drops before the selection layer, in the order of layers, by the scores so far.
  // Layers up to the last of them keep the cache entries of all tokens that entered them.
  std::vector<EarlyDrop> early;
  // With one ranking only: the fewest tokens with this share of the scores' sum are kept, at least the rate
  // `mass_floor` of the prompt and at most what `live` and `kept` allow; 0: just what these say.
  double mass = 0;
  double mass_floor = 0.1;
  // With one ranking only: where its confidence is lower, `unsure_keep` of the prompt is kept, if that is
  // more.
  double min_confidence = 0;
  double unsure_keep = 1;
  // With one ranking and no early drops only: so many tokens, drafted by what `draft` keeps (at most what
  // `live` does), observe too, and the choice is made again. Their scores count as much as the window's.
  int64_t look_ahead = 0;
  Budget draft;
};

class Ranker {
 public:
  virtual ~Ranker() = default;
  // Scores of this layer, [rows, live - window]: one row per KV head, or one for all.
  virtual Scores rank(LayerView& view) = 0;
  // [1, live - window] from the last `history` layers' scores, oldest first.
  virtual Scores combine(LayerView& view, std::span<const Scores> layers) = 0;
  // As rank(), by the last `fed` live tokens, drafted ones: [rows, live - fed], each row's sum being its say.
  virtual Scores look_ahead(LayerView& /*view*/, int64_t /*fed*/) { return {}; }
};

// `early_ranker` chooses at the early drops; null: `ranker` does.
std::unique_ptr<Run> make_ranked_run(const PromptInfo& prompt, const RankSchedule& schedule,
                                     std::unique_ptr<Ranker> ranker,
                                     std::unique_ptr<Ranker> early_ranker = nullptr);

// Why a budget that covers the prompt drops nothing: RunReport::reason.
std::string keeps_all_reason(int64_t budget);

// What a method of the entry chose, and the scores (one a prompt token, or none) that it chose by.
struct EntryChoice {
  Entry entry;
  std::vector<float> scores;
};

// A run that only chooses which tokens enter layer 0; `choose` is called when `budget` is below the prompt.
std::unique_ptr<Run> make_entry_run(const PromptInfo& prompt, int64_t budget,
                                    std::function<EntryChoice(Passes&)> choose);

// A Method from a parameter struct and a function that starts its runs.
template <class Params>
class SimpleMethod : public Method {
 public:
  using Start = std::unique_ptr<Run> (*)(const Params&, const PromptInfo&);
  SimpleMethod(std::string name, Params params, Start start)
      : name_(std::move(name)), params_(std::move(params)), start_(start) {}
  const std::string& name() const override { return name_; }
  std::vector<std::pair<std::string, std::string>> params() const override { return show_params(params_); }
  std::unique_ptr<Run> start(const PromptInfo& prompt) const override { return start_(params_, prompt); }

 private:
  std::string name_;
  Params params_;
  Start start_;
};

// Registers a SimpleMethod.
template <class Params>
void add_method(MethodRegistry& registry, const std::string& name, const std::string& summary,
                const std::string& paper, typename SimpleMethod<Params>::Start start) {
  registry.add({name, summary, paper, list_params<Params>(), [name, start](const ParamValues& values) {
                  return std::make_unique<SimpleMethod<Params>>(name, read_params<Params>(name, values),
                                                                start);
                }});
}

}  // namespace claa
