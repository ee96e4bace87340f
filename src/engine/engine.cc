#include <algorithm>
#include <numeric>

#include "engine/impl.h"
#include "prefill/decoder.h"

namespace claa {

const char* finish_reason_name(FinishReason reason) {
  return reason == FinishReason::kEnd ? "end" : reason == FinishReason::kLength ? "length" : "stop";
}

Engine::Impl::Impl(const std::string& path, const EngineOptions& options)
    : file(gguf::File::open(path)),
      config(read_config(file)),
      tokenizer(read_tokenizer_data(file)),
      backend(make_backend(backend_options(options.device, options.dtype, options.threads, options.isa))),
      model(config, load_weights(file, config, *backend, options.on_load), *backend),
      methods(builtin_methods()) {
  if (!tokenizer.data().chat_template.empty()) chat.emplace(tokenizer.data().chat_template);
  if (tokenizer.vocab_size() > config.vocabulary) {
    fail(ErrorCode::kCorruptFile, "{}: the tokenizer has {} tokens, the embedding {} rows", path,
         tokenizer.vocab_size(), config.vocabulary);
  }
  if (!options.draft.empty()) drafter.emplace(options.draft, tokenizer, *backend);
  summary = {config.name,
             config.architecture,
             path,
             config.layers,
             config.hidden,
             config.heads,
             config.kv_heads,
             config.head_size,
             config.vocabulary,
             config.context,
             model.weights().bytes,
             backend->description(),
             gguf::weights_fingerprint(file),
             options.draft};
  file.let_go();
}

namespace {

// The file of a draft model, once its vocabulary is known to be the model's own.
gguf::File open_draft(const std::string& path, const std::vector<std::string>& tokens) {
  gguf::File file = gguf::File::open(path);
  const std::vector<std::string> drafted = read_tokenizer_data(file).tokens;
  if (drafted.size() != tokens.size()) {
    fail(ErrorCode::kInvalidArgument,
         "the draft model '{}' has a vocabulary of {} tokens, the model has {}; choose one with the same "
         "tokenizer",
         path, drafted.size(), tokens.size());
  }
  const auto differ = std::mismatch(tokens.begin(), tokens.end(), drafted.begin());
  if (differ.first != tokens.end()) {
    fail(ErrorCode::kInvalidArgument,
         "the draft model '{}' has another vocabulary: token {} differs; choose one with the same tokenizer",
         path, differ.first - tokens.begin());
  }
  return file;
}

}  // namespace

Drafter::Drafter(const std::string& path, const Tokenizer& tokenizer, Backend& backend)
    : file(open_draft(path, tokenizer.data().tokens)),
      config(read_config(file)),
      model(config, load_weights(file, config, backend, {}), backend) {
  file.let_go();
}

std::vector<int32_t> Engine::Impl::tokenize(const Request& request) const {
  if (!request.ids.empty()) return request.ids;
  const TokenizerData& data = tokenizer.data();
  std::vector<int32_t> ids;
  if (request.raw || !chat) {
    if (!request.system.empty()) {
      fail(ErrorCode::kInvalidArgument, "a system message needs a chat template; {}",
           request.raw ? "leave out --raw" : "this model file has none");
    }
    ids = tokenizer.encode(request.prompt + request.answer_prefix);
    if (data.add_bos && data.bos >= 0) ids.insert(ids.begin(), data.bos);
    return ids;
  }
  std::vector<ChatMessage> messages;
  if (!request.system.empty()) messages.push_back({"system", request.system});
  messages.push_back({"user", request.prompt});
  TemplateVariables variables;
  variables.add_generation_prompt = true;
  const auto text_of = [&](int32_t id) {
    return id >= 0 ? data.tokens[static_cast<size_t>(id)] : std::string();
  };
  variables.bos_token = text_of(data.bos);
  variables.eos_token = text_of(data.eos);
  const std::vector<TemplateSpan> rendered = chat->render(messages, variables);
  std::vector<Span> spans;
  for (const TemplateSpan& span : rendered) spans.push_back({span.text, span.special});
  if (!request.answer_prefix.empty()) spans.push_back({request.answer_prefix, false});
  ids = tokenizer.encode(spans);
  // Templates differ in whether they write the begin-of-text token themselves; it must stand there once.
  if (data.add_bos && data.bos >= 0 && (ids.empty() || ids.front() != data.bos))
    ids.insert(ids.begin(), data.bos);
  return ids;
}

void Engine::Impl::check_length(const Request& request, int64_t tokens) const {
  if (tokens == 0) fail(ErrorCode::kInvalidArgument, "the prompt is empty: give at least one token");
  if (request.max_tokens < 0) {
    fail(ErrorCode::kInvalidArgument, "max_tokens must not be negative, it is {}", request.max_tokens);
  }
  if (tokens > config.context) {
    fail(ErrorCode::kContextExceeded,
         "the prompt has {} tokens, the model's context holds {}; shorten the prompt", tokens,
         config.context);
  }
}

Prompt Engine::Impl::prepare(const Request& request) const {
  check_sampling(request.sampling);
  Prompt prompt;
  prompt.method = methods.create(request.method, request.params);
  // Every token takes at least one byte-level piece, and the longest piece of a vocabulary is far below this
  // bound.
  constexpr size_t kBytesPerToken = 1024;
  if (request.ids.empty() && request.prompt.empty()) {
    fail(ErrorCode::kInvalidArgument, "the prompt is empty: give a text, a file or standard input");
  }
  if (request.ids.empty() && request.prompt.size() > static_cast<size_t>(config.context) * kBytesPerToken) {
    fail(ErrorCode::kContextExceeded,
         "the prompt has {} bytes; the model's context holds {} tokens; shorten the prompt",
         request.prompt.size(), config.context);
  }
  prompt.ids = tokenize(request);
  for (const int32_t id : prompt.ids) {
    if (id < 0 || id >= config.vocabulary) {
      fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {}", id, config.vocabulary);
    }
  }
  check_length(request, static_cast<int64_t>(prompt.ids.size()));
  return prompt;
}

PrefillOptions Engine::Impl::prefill_options(const Request& request, int64_t tokens) const {
  PrefillOptions options;
  options.reserve = std::min(config.context, tokens + request.max_tokens) - tokens;
  options.cancel = request.cancel;
  if (request.on_progress) {
    options.progress = [&request](int64_t layer, int64_t layers, int64_t rows, int64_t live) {
      request.on_progress({layer, layers, rows, live});
    };
  }
  if (drafter) options.drafter = &drafter->model;
  options.ends_answer = [this](int32_t id) { return tokenizer.is_end_of_generation(id); };
  options.model_fingerprint = summary.fingerprint;
  return options;
}

PrefillResult Engine::Impl::prefill(const Request& request, const Prompt& prompt) {
  const int64_t tokens = static_cast<int64_t>(prompt.ids.size());
  return run_prefill(model, prompt.ids, *prompt.method, prefill_options(request, tokens));
}

PrefillResult Engine::Impl::begin(const Request& request, const Prompt& prompt, const Stopwatch& clock,
                                  Answer& answer) {
  answer.timings.load = load_ms;
  answer.timings.tokenize = clock.ms();
  answer.prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  Stopwatch prefill_clock;
  if (request.stages) backend->start_profile();
  PrefillResult result = prefill(request, prompt);
  if (request.stages) answer.stages = backend->stop_profile();
  answer.timings.prefill = prefill_clock.ms();
  answer.timings.entry = result.entry_ms;
  answer.timings.select = result.select_ms;
  answer.timings.first_token = clock.ms();
  answer.kept_tokens = result.kept_tokens;
  answer.prefill = {prompt.method->name(), prompt.method->params(),       result.report.active,
                    result.report.reason,  result.report.selection_layer, result.report.signals,
                    result.report.note};
  return result;
}

bool AnswerText::push(int32_t token) {
  answer_.tokens.push_back(token);
  if (tokenizer_.is_end_of_generation(token)) {
    answer_.finish = FinishReason::kEnd;
    return false;
  }
  if (!tokenizer_.is_special(token)) show(stops_.push(utf8_.push(tokenizer_.token_bytes(token))));
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

void Engine::Impl::generate(const Request& request, const Prompt& prompt, PrefillResult& prefill,
                            const Stopwatch& clock, Answer& answer) {
  Sampler sampler(request.sampling);
  AnswerText text(tokenizer, request, answer);
  std::vector<int32_t> seen = prompt.ids;
  Decoder decoder(model, *prefill.cache);
  const std::vector<float>* logits = &prefill.logits;
  Stopwatch decode_clock;
  while (static_cast<int64_t>(answer.tokens.size()) < request.max_tokens) {
    check_cancelled(request.cancel);
    const int32_t token = sampler.next(*logits, seen);
    seen.push_back(token);
    if (answer.tokens.empty()) {
      answer.timings.first_token = clock.ms();
      decode_clock.restart();
    }
    if (!text.push(token)) break;
    const bool room = prefill.cache->next_position < config.context;
    if (!room || static_cast<int64_t>(answer.tokens.size()) == request.max_tokens) break;
    logits = &decoder.step(token);
  }
  text.finish();
  answer.timings.decode = decode_clock.ms();
}

namespace {

void fill_trace(const PrefillResult& prefill, const Prompt& prompt, int64_t top, Trace& trace) {
  trace.prompt_tokens = prompt.ids;
  if (!prefill.selected.empty()) trace.selected = prefill.selected;
  for (int64_t i = 0; i < prefill.cache->layers(); ++i) {
    LayerTrace layer;
    layer.live = prefill.layers[static_cast<size_t>(i)].live;
    layer.kept_all = prefill.cache->kept_all(i);
    if (!layer.kept_all) layer.kept = prefill.cache->prompt_positions(i);
    layer.cache = prefill.cache->length(i);
    trace.layers.push_back(std::move(layer));
  }
  std::vector<int32_t> order(prefill.logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = std::min<int64_t>(top, static_cast<int64_t>(order.size()));
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
    const float x = prefill.logits[static_cast<size_t>(a)], y = prefill.logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  });
  for (int64_t i = 0; i < count; ++i) {
    const int32_t id = order[static_cast<size_t>(i)];
    trace.top.emplace_back(id, prefill.logits[static_cast<size_t>(id)]);
  }
  trace.scores = prefill.report.scores;
  trace.next_position = prefill.cache->next_position;
}

}  // namespace

Answer Engine::Impl::answer(const Request& request, Trace* trace, int64_t top) {
  Stopwatch clock;
  StopMatcher check(request.stop);  // refuses bad stop strings before any work
  const Prompt prompt = prepare(request);
  Answer answer;
  PrefillResult result = begin(request, prompt, clock, answer);
  if (trace != nullptr) fill_trace(result, prompt, top, *trace);
  generate(request, prompt, result, clock, answer);
  return answer;
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Engine Engine::load(const std::string& path, const EngineOptions& options) {
  Stopwatch clock;
  auto impl = std::make_unique<Impl>(path, options);
  impl->load_ms = clock.ms();
  return Engine(std::move(impl));
}

const ModelSummary& Engine::model() const {
  return impl_->summary;
}
Answer Engine::answer(const Request& request) {
  return impl_->answer(request, nullptr, 0);
}

OracleResult Engine::oracle(const OracleRequest& request) {
  return impl_->oracle(request);
}

Answer Engine::score_continuation(const Request& request, const std::vector<int32_t>& tokens,
                                  const ContinuationObserver& observe) {
  return impl_->score_continuation(request, tokens, observe);
}

Trace Engine::trace(const Request& request, int64_t top) {
  Trace trace;
  trace.answer = impl_->answer(request, &trace, top);
  return trace;
}

std::vector<int32_t> Engine::tokenize(const Request& request) const {
  return impl_->tokenize(request);
}
std::string Engine::detokenize(const std::vector<int32_t>& ids) const {
  return impl_->tokenizer.decode(ids);
}
std::string Engine::token_text(int32_t id) const {
  // Some models pad the embedding with rows that no token of the tokenizer names.
  if (id >= impl_->tokenizer.vocab_size() && id < impl_->config.vocabulary) return "";
  return std::string(impl_->tokenizer.token_bytes(id));
}

}  // namespace claa
