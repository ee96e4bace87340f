// Attention from an answer back to its prompt, streamed: the Answer-Informed Oracle (spec.md 8.1) and
// SpecPrefill's look-ahead (spec.md 5). Memory is O(prompt): a running maximum over the layers of one
// query, and a sum over queries.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "claa/prefill.h"
#include "prefill/decoder.h"
#include "prefill/runner.h"

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
  void observe(const Tensor& q, const KvView& kv);
  void end_query();  // after the last layer of a query
  // One a prompt token; pooled as the spec says. At least one query must have ended.
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

struct AnswerPass {
  const LlamaModel& model;
  std::span<const int32_t> ids;  // the prompt
  NextToken next;
  std::vector<AnswerScores*> scores;
  std::function<void(LayerView&)> on_layer;  // sees every layer of the prefill; may be empty
};

// Full prefill, then one decode step a token that `next` gives, as long as the context has room.
PrefillResult run_answer_pass(const AnswerPass& pass, const PrefillOptions& options);

// Passes::look_ahead: the model's own greedy answer, at most spec.steps tokens of it fed.
std::vector<float> run_look_ahead(const LlamaModel& model, std::span<const int32_t> ids,
                                  const LookAheadSpec& spec, const PrefillOptions& options);

}  // namespace claa
