// A prefill: the preview that a method may want, the tokens that enter, and the pass in which it decides. It
// applies the answers and knows nothing of any method.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "prefill/look_ahead.h"
#include "prefill/types.h"

namespace claa {

// A prefill in progress. Prefills of one model may be stepped in any order; each gives the bits that it gives
// alone.
class Prefill {
 public:
  // A prompt of at least one token, with ids inside the vocabulary, that fits the context. Model, method and
  // what the options point to outlive the prefill.
  Prefill(const Model& model, std::vector<int32_t> ids, const Method& method, PrefillOptions options);
  ~Prefill();
  Prefill(const Prefill&) = delete;
  Prefill& operator=(const Prefill&) = delete;

  // Does one unit: a chunk of rows of half a layer, or a decode step of a preview. False when the result is
  // there.
  bool step();
  // Call once, when step() has returned false.
  PrefillResult take() { return std::move(result_); }

 private:
  class MainPass;
  void begin_preview();
  bool step_preview();
  void begin_pass();
  void finish();
  bool dropped() const;

  const Model& model_;
  std::vector<int32_t> ids_;
  PrefillOptions options_;
  PromptInfo info_;
  PromptInfo pass_info_;  // with protected spans in the positions of the pass
  std::unique_ptr<Run> run_;
  std::unique_ptr<PreviewPass> preview_;
  std::unique_ptr<LookAheadPass> look_ahead_;
  std::unique_ptr<MainPass> pass_;
  PrefillResult result_;
  bool done_ = false;
};

// A prefill from beginning to end.
PrefillResult run_prefill(const Model& model, std::span<const int32_t> ids, const Method& method,
                          const PrefillOptions& options);

}  // namespace claa
