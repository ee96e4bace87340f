#include <algorithm>

#include "core/usize.h"
#include "engine/impl.h"
#include "prefill/look_ahead.h"

namespace claa {
namespace {

LookAheadSpec oracle_spec(const OracleRequest& request) {
  LookAheadSpec spec;
  spec.kernel = request.kernel;
  spec.pool_first = spec.drafter = false;
  return spec;
}

// The same request with a full prefill and a greedy answer.
Request greedy_request(Request request) {
  request.method = "full";
  request.params.clear();
  request.sampling = {};
  if (request.max_tokens < 1) {
    fail(ErrorCode::kInvalidArgument, "an oracle needs an answer: max_tokens must be at least 1, it is {}",
         request.max_tokens);
  }
  return request;
}

}  // namespace

OracleResult Engine::Impl::oracle(const OracleRequest& wanted) {
  Stopwatch clock;
  Request request = greedy_request(wanted.request);
  const Prompt prompt = prepare(request);
  const int64_t tokens = static_cast<int64_t>(prompt.ids.size());
  std::vector<int32_t> gold;
  if (wanted.gold) {
    gold = text().encode(*wanted.gold);
    if (gold.empty()) fail(ErrorCode::kInvalidArgument, "the gold answer is empty: give at least one token");
    request.max_tokens = static_cast<int64_t>(gold.size());
  }

  OracleResult result;
  Answer& answer = result.answer;
  answer.timings.load = load_ms;
  answer.timings.tokenize = clock.ms();
  answer.prompt_tokens = answer.kept_tokens = tokens;
  answer.prefill = {"full", {}, false, "the oracle reads the whole prompt"};
  answer.prefill.note = prompt.note;
  // An answer ends with the context, however large max_tokens is.
  const int64_t most = std::min(request.max_tokens, model->config().context);
  AnswerScores scores(*backend, oracle_spec(wanted), tokens, most + 1);
  std::vector<AnswerScores*> all{&scores};
  std::optional<AnswerScores> drafted;
  if (wanted.look_ahead) {
    drafted.emplace(*backend, *wanted.look_ahead, tokens, wanted.look_ahead->steps + 1);
    all.push_back(&*drafted);
  }

  AnswerText answer_text(tokenizer ? &*tokenizer : nullptr, request, answer);
  Sampler sampler({});
  Stopwatch stage;
  const auto next = [&](const std::vector<float>& logits) {
    ++result.queries;
    if (answer.tokens.empty()) {
      answer.timings.prefill = stage.ms();
      answer.timings.first_token = clock.ms();
      stage.restart();
    }
    // A gold answer is fed to its end; of the model's own the last token never is.
    const size_t step = answer.tokens.size();
    if (!gold.empty() && step == gold.size()) return -1;
    const int32_t token = gold.empty() ? sampler.next(logits, {}) : gold[step];
    const bool more = answer_text.push(token);
    if (gold.empty() && (!more || step + 1 == usize(request.max_tokens))) return -1;
    return token;
  };
  const std::scoped_lock lock(turn);
  AnswerPass pass({*model, prompt.ids, next, all, wanted.on_layer}, prefill_options(request, prompt));
  while (pass.step()) {
  }
  answer_text.finish();
  answer.timings.decode = stage.ms();
  result.ranking = {summary.fingerprint, prompt.ids, scores.result()};
  if (drafted) result.look_ahead = drafted->result();
  return result;
}

}  // namespace claa
