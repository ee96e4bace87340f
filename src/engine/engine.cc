#include <algorithm>
#include <numeric>

#include "core/counts.h"
#include "core/usize.h"
#include "engine/impl.h"

namespace claa {

const char* finish_reason_name(FinishReason reason) {
  return reason == FinishReason::kEnd ? "end" : reason == FinishReason::kLength ? "length" : "stop";
}

const Tokenizer& Engine::Impl::text() const {
  if (!tokenizer) fail(ErrorCode::kInvalidArgument, "a shape has no tokenizer; give token ids");
  return *tokenizer;
}

void Engine::Impl::check_length(const Request& request, int64_t tokens) const {
  if (tokens == 0) fail(ErrorCode::kInvalidArgument, "the prompt is empty: give at least one token");
  if (request.max_tokens < 0) {
    fail(ErrorCode::kInvalidArgument, "max_tokens must not be negative, it is {}", request.max_tokens);
  }
  if (tokens > model->config().context) {
    fail(ErrorCode::kContextExceeded,
         "the prompt has {} tokens, the model's context holds {}; shorten the prompt", group_digits(tokens),
         group_digits(model->config().context));
  }
}

void Engine::Impl::choose_method(const Request& request, Prompt& prompt) const {
  const bool preset = !request.quality.empty();
  if (request.own_method != nullptr) {
    if (preset)
      fail(ErrorCode::kInvalidArgument, "quality '{}' stands for claa; leave out own_method",
           request.quality);
    prompt.method = request.own_method;
    return;
  }
  if (preset && request.method != "full" && request.method != "claa") {
    fail(ErrorCode::kInvalidArgument,
         "quality '{}' stands for a method of its own, claa; leave out method '{}'", request.quality,
         request.method);
  }
  const std::string method = preset ? "claa" : request.method;
  prompt.choice = profiles->choose(request.quality, methods.find(method), request.params);
  prompt.method = methods.create(method, prompt.choice.params);
}

void Engine::Impl::check_size(const Request& request) const {
  if (!request.ids.empty()) return;
  // Every token takes at least one byte-level piece, and the longest piece of a vocabulary is far below this
  // bound.
  constexpr size_t kBytesPerToken = 1024;
  size_t bytes = request.prompt.size() + request.tools.size();
  for (const Message& message : request.messages) {
    bytes += message.content ? message.content->size() : 0;
    bytes += message.reasoning.size() + message.tool_calls.size();
  }
  if (request.prompt.empty() && request.messages.empty()) {
    fail(ErrorCode::kInvalidArgument, "the prompt is empty: give a text, a file or standard input");
  }
  if (bytes > usize(model->config().context) * kBytesPerToken) {
    fail(ErrorCode::kContextExceeded,
         "the prompt has {} bytes; the model's context holds {} tokens; shorten the prompt",
         group_digits(bytes), group_digits(model->config().context));
  }
}

Prompt Engine::Impl::prepare(const Request& request) const {
  check_sampling(request.sampling);
  Prompt prompt;
  choose_method(request, prompt);
  check_size(request);
  PromptTokens tokens = tokenize(request);
  prompt.note = tokens.note;
  for (const int32_t id : tokens.ids) {
    if (id < 0 || id >= model->config().vocabulary) {
      fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {}", id,
           group_digits(model->config().vocabulary));
    }
  }
  check_length(request, static_cast<int64_t>(tokens.ids.size()));
  prompt.protected_spans =
      claa::protected_spans(request, tokenizer ? &*tokenizer : nullptr, tokens, prompt.note);
  prompt.ids = std::move(tokens.ids);
  return prompt;
}

PrefillOptions Engine::Impl::prefill_options(const Request& request, const Prompt& prompt) const {
  const auto tokens = static_cast<int64_t>(prompt.ids.size());
  PrefillOptions options;
  // In this order, because max_tokens may be as large as its type.
  options.reserve = std::min(model->config().context - tokens, request.max_tokens);
  options.cancel = request.cancel;
  if (request.on_progress) {
    options.progress = [on_progress = request.on_progress](int64_t layer, int64_t layers, int64_t rows,
                                                           int64_t live) {
      on_progress({layer, layers, rows, live});
    };
  }
  if (drafter) options.drafter = &*drafter;
  options.ends_answer = [this](int32_t id) { return ends_answer(id); };
  options.model_fingerprint = summary.fingerprint;
  options.protected_spans = prompt.protected_spans;
  options.profiled = !prompt.choice.profile.empty();
  return options;
}

namespace {

void fill_trace(const PrefillResult& prefill, const Prompt& prompt, int64_t top, Trace& trace) {
  trace.prompt_tokens = prompt.ids;
  if (!prefill.selected.empty()) trace.selected = prefill.selected;
  for (int64_t i = 0; i < prefill.cache->layers(); ++i) {
    LayerTrace layer;
    layer.live = prefill.layers[usize(i)].live;
    layer.kept_all = prefill.cache->kept_all(i);
    if (!layer.kept_all) layer.kept = prefill.cache->prompt_positions(i);
    layer.cache = prefill.cache->length(i);
    trace.layers.push_back(std::move(layer));
  }
  std::vector<int32_t> order(prefill.logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = std::min<int64_t>(top, static_cast<int64_t>(order.size()));
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
    const float x = prefill.logits[usize(a)], y = prefill.logits[usize(b)];
    return x > y || (x == y && a < b);
  });
  for (int64_t i = 0; i < count; ++i) {
    const int32_t id = order[usize(i)];
    trace.top.emplace_back(id, prefill.logits[usize(id)]);
  }
  trace.scores = prefill.report.scores;
  trace.next_position = prefill.cache->next_position;
}

}  // namespace

Engine::Engine(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

const ModelSummary& Engine::model() const {
  return impl_->summary;
}

MethodRegistry& Engine::methods() {
  return impl_->methods;
}

Job Engine::start(Request request) {
  return Job(std::make_unique<Job::Impl>(impl_, std::move(request)));
}

Answer Engine::answer(const Request& request) {
  Job job = start(request);
  while (job.step()) {
  }
  return std::move(job.impl_->answer);
}

Trace Engine::trace(const Request& request, int64_t top) {
  Trace trace;
  Job job = start(request);
  job.impl_->on_prefill = [&](const PrefillResult& prefill) {
    fill_trace(prefill, job.impl_->prompt, top, trace);
  };
  while (job.step()) {
  }
  trace.answer = std::move(job.impl_->answer);
  return trace;
}

OracleResult Engine::oracle(const OracleRequest& request) {
  return impl_->oracle(request);
}

std::vector<int32_t> Engine::tokenize(const Request& request) const {
  return impl_->tokenize(request).ids;
}
std::string Engine::detokenize(const std::vector<int32_t>& ids) const {
  return impl_->text().decode(ids);
}
std::string Engine::token_text(int32_t id) const {
  // Some models pad the embedding with rows that no token of the tokenizer names.
  if (id >= impl_->text().vocab_size() && id < impl_->model->config().vocabulary) return "";
  return std::string(impl_->text().token_bytes(id));
}

}  // namespace claa
