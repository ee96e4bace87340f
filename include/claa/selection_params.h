// Parameters that every method with a budget shares.
#pragma once

#include <string>
#include <string_view>

#include "claa/budget.h"
#include "claa/export.h"
#include "claa/params.h"
#include "claa/prefill.h"

namespace claa {

// A method's struct derives from it, adds its own parameters, and lists in visit() those that apply.
struct CLAA_API SelectionParams {
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

}  // namespace claa
