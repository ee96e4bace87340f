// Attention from an answer back to its prompt, streamed: the Answer-Informed Oracle (spec.md 8.1) and
// SpecPrefill's look-ahead (spec.md 5). Memory is O(prompt): a running maximum over the layers of one
// query, and a sum over queries.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "claa/prefill.h"
#include "prefill/decoder.h"
#include "prefill/pass.h"

namespace claa {

// Accumulates the queries of one answer: maximum over heads and layers, mean over queries.
class AnswerScores {
 public:
  // `queries`: how many to take, the last prompt token first; later ones are ignored.
  AnswerScores(Backend& backend, const LookAheadSpec& spec, int64_t tokens, int64_t queries);
  bool wants_more() const { return taken_ < queries_; }
  // The last prompt token's query at the layer of `view`, inside prefill.
  void observe(LayerView& view);
  // A fed token's query; the first `tokens` slots of kv are the prompt.
  void observe(const Tensor& q, const KvView& kv, const SoftmaxRule& rule);
  void end_query();  // after the last layer of a query
  // One score per prompt token; pooled as the spec says. At least one query must have ended.
  std::vector<float> result() const;

 private:
  ScoreSpec score_spec() const;
  void merge(const Tensor& scores);  // into the maximum over layers

  Backend& backend_;
  LookAheadSpec spec_;
  int64_t tokens_, queries_, taken_ = 0;
  std::shared_ptr<Scores::Impl> layer_, best_, sum_, spare_;
  bool has_best_ = false;
};

// Chooses what to feed after the logits of the last prompt token and of each fed token; -1 ends the answer.
using NextToken = std::function<int32_t(const std::vector<float>& logits)>;

struct AnswerPassSpec {
  const Model& model;
  std::span<const int32_t> ids;  // the prompt; it outlives the pass
  NextToken next;
  std::vector<AnswerScores*> scores;
  std::function<void(LayerView&)> on_layer = {};  // sees every layer of the prefill; may be empty
};

// Full prefill, then one decode step per token that `next` gives, as long as the context has room.
class AnswerPass {
 public:
  AnswerPass(AnswerPassSpec spec, const PrefillOptions& options);
  AnswerPass(const AnswerPass&) = delete;
  AnswerPass& operator=(const AnswerPass&) = delete;
  // Does one unit of the prefill or one decode step. False, and nothing is done, when the answer is over.
  bool step();

 private:
  bool feed();

  AnswerPassSpec spec_;
  PrefillOptions options_;
  PromptInfo info_;
  int64_t positions_;  // that prompt and answer may take
  KvCache cache_;
  std::unique_ptr<StoringPass> prefill_;  // none once it is done
  std::unique_ptr<Decoder> decoder_;
  std::vector<float> logits_;
};

// The model's own greedy answer to the prompt, at most spec.steps tokens of it fed; what it attends to.
class LookAheadPass {
 public:
  LookAheadPass(const Model& model, std::span<const int32_t> ids, const LookAheadSpec& spec,
                const PrefillOptions& options);
  bool step() { return pass_.step(); }
  // One score per prompt token; call when step() has returned false.
  std::vector<float> result() const { return scores_.result(); }

 private:
  AnswerScores scores_;
  AnswerPass pass_;
};

}  // namespace claa
