#include "engine/impl.h"
#include "prefill/decoder.h"

namespace claa {

Answer Engine::Impl::score_continuation(const Request& wanted, std::span<const int32_t> tokens,
                                        const ContinuationObserver& observe) {
  Stopwatch clock;
  const auto count = static_cast<int64_t>(tokens.size());
  if (count == 0) fail(ErrorCode::kInvalidArgument, "the continuation is empty: give at least one token");
  for (const int32_t id : tokens) {
    if (id < 0 || id >= config.vocabulary) {
      fail(ErrorCode::kInvalidArgument, "token id {} of the continuation is outside the vocabulary of {}", id,
           config.vocabulary);
    }
  }
  Request request = wanted;
  request.max_tokens = count;  // cache slots
  request.sampling = {};
  const Prompt prompt = prepare(request);
  const auto prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  if (prompt_tokens + count > config.context) {
    fail(ErrorCode::kContextExceeded,
         "the prompt has {} tokens and the continuation {}, the model's context holds {}; shorten one",
         prompt_tokens, count, config.context);
  }
  Answer answer;
  PrefillResult result = begin(request, prompt, clock, answer);
  answer.tokens.assign(tokens.begin(), tokens.end());
  answer.text = tokenizer.decode(answer.tokens);
  observe(0, result.logits);
  Decoder decoder(model, *result.cache);
  Stopwatch decode_clock;
  for (int64_t step = 1; step < count; ++step) {
    check_cancelled(request.cancel);
    observe(step, decoder.step(tokens[static_cast<size_t>(step - 1)]));
  }
  answer.timings.decode = decode_clock.ms();
  return answer;
}

}  // namespace claa
