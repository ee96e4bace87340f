// Ranker: the short way to a new method. A ranker turns a layer into scores; one of the two plain runs
// (PerLayer, OneRanking) brings the schedule, budgets, the window and top-k. See
// src/prefill/methods/_template.cc for a whole method.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "claa/budget.h"
#include "claa/export.h"
#include "claa/prefill.h"
#include "claa/registry.h"
#include "claa/selection_params.h"

namespace claa {

class CLAA_API Ranker {
 public:
  virtual ~Ranker() = default;
  // Scores of this layer, [rows, live - window]: one row per KV head, or one for all. Empty: the layer has no
  // say (in OneRanking only).
  virtual Scores rank(LayerView& view) = 0;
  // [1, live - window] from the scores of several layers, oldest first.
  virtual Scores combine(LayerView& view, std::span<const Scores> layers) = 0;
  // As rank(), by the last `fed` live tokens, which are drafted ones: [rows, live - fed]. The sum of a row is
  // its weight.
  virtual Scores rank_drafted(LayerView& /*view*/, int64_t /*fed*/) { return {}; }
  // Called once, at the layer of the last drop, before combine(): a wrapper may add the scores of further
  // observers to those of the layers.
  virtual void add_observers(LayerView& /*view*/, std::vector<Scores>& /*layers*/) {}
};

// Who lives on after `layer`. Drops may share a ranker, whose scores are then computed once.
struct Drop {
  int layer = 0;
  Budget budget;
  std::shared_ptr<Ranker> ranker = {};
};

// Every layer's cache by its own scores, from first_layer on; and, if there is a drop, live tokens by the
// scores of its last `history` layers. Layers with a sliding window do not count: they have no scores.
struct PerLayer {
  int64_t window = 8;
  int first_layer = 0;
  Budget kept;
  std::shared_ptr<Ranker> ranker = {};
  std::optional<Drop> live = {};  // without a ranker of its own it uses the one above
  int history = 1;
};

// One ranking for live tokens and caches. Each drop chooses by what its ranker's layers have said so far; the
// last one also chooses every layer's cache entries from first_layer on, those of earlier layers in
// hindsight. Layers up to the last but one drop keep the entries of all tokens that entered them. The last
// drop may come after the last layer of the model but one: then tokens stay live and only caches are cut.
struct OneRanking {
  int64_t window = 8;
  int first_layer = 0;
  Budget kept;
  std::vector<Drop> drops = {};                              // rising layers; at least one
  std::vector<std::unique_ptr<BudgetPolicy>> policies = {};  // for the last drop, in order; none: its budget
};

// Throws Error{kInternal} for a schedule without a ranker, or drops that do not rise.
CLAA_API std::unique_ptr<Run> make_run(const PromptInfo& prompt, PerLayer schedule);
CLAA_API std::unique_ptr<Run> make_run(const PromptInfo& prompt, OneRanking schedule);

// A ranker whose ranking tokens of a drafted answer take part in: before the last drop, `steps` greedy tokens
// are drafted by the best `first` tokens of `ranker`'s own ranking (at most `most`), and what they attend to
// counts as much as what the window does (docs/calibration.md).
CLAA_API std::shared_ptr<Ranker> look_ahead_ranker(std::shared_ptr<Ranker> ranker, int64_t steps,
                                                   Budget first, Budget most, int64_t window);

// Why a budget that covers the prompt drops nothing: RunReport::reason.
CLAA_API std::string keeps_all_reason(int64_t budget);

// A method that chooses which tokens enter layer 0.
struct EntryChoice {
  Entry entry;
  std::vector<float> scores;  // that chose, one per prompt token, or none
};
struct EntryRun {
  int64_t budget = 0;                      // nothing is asked or dropped when it covers the prompt
  std::optional<PreviewSpec> preview;      // the pass to see first; none: the choice needs none
  std::function<Scores(LayerView&)> rank;  // of the preview's last layer: one row, one score per prompt token
  // `scores`: those of rank() or of the preview's look-ahead.
  std::function<EntryChoice(std::vector<float> scores)> choose;
};
CLAA_API std::unique_ptr<Run> make_run(const PromptInfo& prompt, EntryRun run);

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
