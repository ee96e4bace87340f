#include "core/counts.h"
#include "core/usize.h"
#include "engine/impl.h"

namespace claa {

Answer Engine::score_continuation(const Request& wanted, const std::vector<int32_t>& tokens,
                                  const ContinuationObserver& observe) {
  const auto count = static_cast<int64_t>(tokens.size());
  const ModelConfig& config = impl_->model->config();
  if (count == 0) fail(ErrorCode::kInvalidArgument, "the continuation is empty: give at least one token");
  for (const int32_t id : tokens) {
    if (id < 0 || id >= config.vocabulary) {
      fail(ErrorCode::kInvalidArgument, "token id {} of the continuation is outside the vocabulary of {}", id,
           group_digits(config.vocabulary));
    }
  }
  Request request = wanted;
  request.max_tokens = count;  // cache slots
  request.sampling = {};
  request.stop.clear();
  Job job = start(std::move(request));
  const auto prompt_tokens = static_cast<int64_t>(job.impl_->prompt.ids.size());
  if (prompt_tokens + count > config.context) {
    fail(ErrorCode::kContextExceeded,
         "the prompt has {} tokens and the continuation {}, the model's context holds {}; shorten one",
         group_digits(prompt_tokens), group_digits(count), group_digits(config.context));
  }
  while (job.impl_->prefilled.cache == nullptr) job.step();
  Answer answer = std::move(job.impl_->answer);
  answer.tokens = tokens;
  if (impl_->tokenizer) answer.text = impl_->tokenizer->decode(answer.tokens);
  observe(0, job.impl_->prefilled.logits);
  std::optional<Decoder> decoder;
  const Stopwatch clock;
  for (int64_t step = 1; step < count; ++step) {
    check_cancelled(wanted.cancel);
    const std::vector<float>* logits = nullptr;
    {
      const std::scoped_lock turn(impl_->turn);
      if (!decoder) decoder.emplace(*impl_->model, *job.impl_->prefilled.cache);
      logits = &decoder->step(tokens[usize(step - 1)]);
    }
    observe(step, *logits);
  }
  answer.timings.decode = clock.ms();
  return answer;
}

}  // namespace claa
