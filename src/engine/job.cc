// A request in progress: prefill unit by unit, then one token per step.
#include <algorithm>

#include "engine/impl.h"

namespace claa {

AnswerText::AnswerText(const Tokenizer* tokenizer, const Request& request, Answer& answer)
    : tokenizer_(tokenizer),
      request_(request),
      answer_(answer),
      stops_(request.stop, [tokenizer](std::string_view stop) {
        return tokenizer != nullptr && tokenizer->names_control(stop);
      }) {}

bool AnswerText::push(int32_t token) {
  answer_.tokens.push_back(token);
  if (tokenizer_ == nullptr) return true;
  if (tokenizer_->is_end_of_generation(token)) {
    answer_.finish = FinishReason::kEnd;
    return false;
  }
  const std::string_view bytes = tokenizer_->token_bytes(token);
  show(tokenizer_->is_special(token) ? stops_.push_hidden(bytes) : stops_.push(utf8_.push(bytes)));
  if (stops_.stopped()) answer_.finish = FinishReason::kStop;
  return !stops_.stopped();
}

void AnswerText::finish() {
  if (stops_.stopped()) return;
  show(stops_.push(utf8_.flush()));
  show(stops_.flush());
}

void AnswerText::show(const std::string& text) {
  answer_.text += text;
  if (request_.on_text && !text.empty()) request_.on_text(text);
}

Job::Impl::Impl(std::shared_ptr<Engine::Impl> owner, Request wanted)
    : engine(std::move(owner)), request(std::move(wanted)) {
  StopMatcher check(request.stop);  // refuses bad stop strings before any work
  prompt = engine->prepare(request);
  answer.timings.load = engine->load_ms;
  answer.timings.tokenize = clock_.ms();
  answer.prompt_tokens = static_cast<int64_t>(prompt.ids.size());
}

bool Job::Impl::step() {
  if (over_) return false;
  if (cancelled) {
    over_ = true;
    throw Error(ErrorCode::kCancelled, "cancelled by the caller");
  }
  const std::scoped_lock turn(engine->turn);
  try {
    if (decoder_) return decode();
    const ScopedTimer timer(answer.timings.prefill);
    if (!prefill_) {
      engine->backend->peak_bytes();  // counts from here
      if (request.stages) engine->backend->start_profile();
      prefill_.emplace(*engine->model, prompt.ids, *prompt.method, engine->prefill_options(request, prompt));
    }
    if (prefill_->step()) return true;
  } catch (...) {
    over_ = true;
    throw;
  }
  begin_answer();
  return !over_;
}

// The prefill is done: what it says, and how the answer begins.
void Job::Impl::begin_answer() {
  prefilled = prefill_->take();
  prefill_.reset();
  if (request.stages) answer.stages = engine->backend->stop_profile();
  answer.timings.entry = prefilled.entry_ms;
  answer.timings.select = prefilled.select_ms;
  answer.timings.first_token = clock_.ms();
  answer.kept_tokens = prefilled.kept_tokens;
  answer.device_bytes = engine->backend->peak_bytes();
  const RunReport& report = prefilled.report;
  PrefillSummary& summary = answer.prefill;
  summary = {prompt.method->name(), prompt.method->params(), report.active, report.reason,
             report.selection_layer};
  for (const TokenRange& span : prompt.protected_spans) summary.protected_tokens += span.end - span.begin;
  summary.signals = report.signals;
  summary.quality = request.quality;
  summary.profile = prompt.choice.profile;
  summary.profile_note = prompt.choice.note;
  summary.note = prompt.note + (prompt.note.empty() || report.note.empty() ? "" : ", ") + report.note;
  if (on_prefill) on_prefill(prefilled);

  const Tokenizer* tokenizer = engine->tokenizer ? &*engine->tokenizer : nullptr;
  text_.emplace(tokenizer, request, answer);
  sampler_.emplace(request.sampling);
  seen_ = prompt.ids;
  decoder_.emplace(*engine->model, *prefilled.cache);
  logits_ = &prefilled.logits;
  if (request.max_tokens == 0) finish();
}

// Chooses a token, and computes what comes after it unless the answer ends there.
bool Job::Impl::decode() {
  check_cancelled(request.cancel);
  Stopwatch watch;
  const int32_t token = sampler_->next(*logits_, seen_);
  seen_.push_back(token);
  if (answer.tokens.empty()) {
    answer.timings.first_token = clock_.ms();
    watch.restart();
  }
  const bool more = text_->push(token);
  const bool room = prefilled.cache->next_position < engine->model->config().context;
  if (more && room && static_cast<int64_t>(answer.tokens.size()) < request.max_tokens) {
    logits_ = &decoder_->step(token);
  } else {
    finish();
  }
  answer.timings.decode += watch.ms();
  return !over_;
}

void Job::Impl::finish() {
  text_->finish();
  answer.device_bytes = std::max(answer.device_bytes, engine->backend->peak_bytes());
  over_ = true;
}

Job::Job(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Job::Job(Job&&) noexcept = default;
Job& Job::operator=(Job&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}
Job::~Job() {
  if (impl_ == nullptr) return;
  const auto engine = impl_->engine;  // outlives the lock
  const std::scoped_lock turn(engine->turn);
  impl_.reset();
}

bool Job::step() {
  return impl_->step();
}
void Job::cancel() {
  impl_->cancelled = true;
}
const Answer& Job::answer() const {
  return impl_->answer;
}

}  // namespace claa
