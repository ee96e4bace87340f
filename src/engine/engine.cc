#include "claa/engine.h"

#include <algorithm>
#include <numeric>

#include "claa/prefill.h"
#include "core/clock.h"
#include "decode/decoder.h"
#include "decode/sampler.h"
#include "decode/stop.h"
#include "gguf/file.h"
#include "model/llama.h"
#include "prefill/runner.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace claa {

const char* finish_reason_name(FinishReason reason) {
  return reason == FinishReason::kEnd ? "end" : reason == FinishReason::kLength ? "length" : "stop";
}

namespace {

BackendOptions backend_options(const EngineOptions& options) {
  BackendOptions backend;
  backend.name = options.device;
  backend.threads = options.threads;
  backend.isa = options.isa;
  if (options.threads < 0 || options.threads > 1024) {
    fail(ErrorCode::kInvalidArgument, "threads must be from 0 (physical cores) to 1024, not {}",
         options.threads);
  }
  if (options.dtype == "f32") {
    backend.dtype = DType::kF32;
  } else if (options.dtype == "bf16") {
    backend.dtype = DType::kBF16;
  } else if (options.dtype == "auto") {
    backend.dtype = best_dtype(backend);
  } else {
    fail(ErrorCode::kInvalidArgument, "unknown dtype '{}'; choose auto, f32 or bf16", options.dtype);
  }
  return backend;
}

// What a request becomes before the model sees it.
struct Prompt {
  std::vector<int32_t> ids;
  std::unique_ptr<Method> method;
};

}  // namespace

struct Engine::Impl {
  Impl(const std::string& path, const EngineOptions& options)
      : file(gguf::File::open(path)),
        config(read_config(file)),
        tokenizer(read_tokenizer_data(file)),
        backend(make_backend(backend_options(options))),
        model(config, load_weights(file, config, *backend, options.on_load), *backend),
        methods(builtin_methods()) {
    if (!tokenizer.data().chat_template.empty()) chat.emplace(tokenizer.data().chat_template);
    if (tokenizer.vocab_size() > config.vocabulary) {
      fail(ErrorCode::kCorruptFile, "{}: the tokenizer has {} tokens, the embedding {} rows", path,
           tokenizer.vocab_size(), config.vocabulary);
    }
    summary = {config.name,     config.architecture,   path,
               config.layers,   config.hidden,         config.heads,
               config.kv_heads, config.head_size,      config.vocabulary,
               config.context,  model.weights().bytes, backend->description()};
  }

  std::vector<int32_t> tokenize(const Request& request) const;
  Prompt prepare(const Request& request) const;
  void check_length(const Request& request, int64_t tokens) const;
  const RopeTables& rope_for(int64_t positions);
  PrefillResult prefill(const Request& request, const Prompt& prompt);
  void generate(const Request& request, const Prompt& prompt, PrefillResult& prefill, const Stopwatch& clock,
                Answer& answer);
  Answer answer(const Request& request, Trace* trace, int64_t top);

  gguf::File file;
  ModelConfig config;
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat;
  std::unique_ptr<Backend> backend;
  LlamaModel model;
  MethodRegistry methods;
  RopeTables rope;
  ModelSummary summary;
  double load_ms = 0;
};

std::vector<int32_t> Engine::Impl::tokenize(const Request& request) const {
  if (!request.ids.empty()) return request.ids;
  const TokenizerData& data = tokenizer.data();
  std::vector<int32_t> ids;
  if (request.raw || !chat) {
    if (!request.system.empty()) {
      fail(ErrorCode::kInvalidArgument, "a system message needs a chat template; {}",
           request.raw ? "leave out --raw" : "this model file has none");
    }
    ids = tokenizer.encode(request.prompt);
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

const RopeTables& Engine::Impl::rope_for(int64_t positions) {
  if (rope.positions < positions) rope = make_rope_tables(config.rope, positions, *backend);
  return rope;
}

PrefillResult Engine::Impl::prefill(const Request& request, const Prompt& prompt) {
  PrefillOptions options;
  const int64_t tokens = static_cast<int64_t>(prompt.ids.size());
  const int64_t last = std::min(config.context, tokens + request.max_tokens);
  options.reserve = last - tokens;
  options.cancel = request.cancel;
  if (request.on_progress) {
    options.progress = [&](int64_t layer, int64_t layers, int64_t rows, int64_t live) {
      request.on_progress({layer, layers, rows, live});
    };
  }
  return run_prefill(model, rope_for(last), prompt.ids, *prompt.method, options);
}

void Engine::Impl::generate(const Request& request, const Prompt& prompt, PrefillResult& prefill,
                            const Stopwatch& clock, Answer& answer) {
  Sampler sampler(request.sampling);
  StopMatcher stops(request.stop);
  Utf8Stream utf8;
  std::vector<int32_t> seen = prompt.ids;
  const auto show = [&](const std::string& text) {
    answer.text += text;
    if (request.on_text && !text.empty()) request.on_text(text);
  };
  Decoder decoder(model, rope, *prefill.cache);
  const std::vector<float>* logits = &prefill.logits;
  Stopwatch decode_clock;
  while (static_cast<int64_t>(answer.tokens.size()) < request.max_tokens) {
    check_cancelled(request.cancel);
    const int32_t token = sampler.next(*logits, seen);
    answer.tokens.push_back(token);
    seen.push_back(token);
    if (answer.tokens.size() == 1) {
      answer.timings.first_token = clock.ms();
      decode_clock.restart();
    }
    if (tokenizer.is_end_of_generation(token)) {
      answer.finish = FinishReason::kEnd;
      break;
    }
    if (!tokenizer.is_special(token)) show(stops.push(utf8.push(tokenizer.token_bytes(token))));
    if (stops.stopped()) {
      answer.finish = FinishReason::kStop;
      break;
    }
    const bool room = prefill.cache->next_position < rope.positions;
    if (!room || static_cast<int64_t>(answer.tokens.size()) == request.max_tokens) break;
    logits = &decoder.step(token);
  }
  if (!stops.stopped()) {
    show(stops.push(utf8.flush()));
    show(stops.flush());
  }
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
  trace.scores = prefill.report.scores.to_host();
  trace.next_position = prefill.cache->next_position;
}

}  // namespace

Answer Engine::Impl::answer(const Request& request, Trace* trace, int64_t top) {
  Stopwatch clock;
  StopMatcher check(request.stop);  // refuses bad stop strings before any work
  const Prompt prompt = prepare(request);
  Answer answer;
  answer.timings.load = load_ms;
  answer.timings.tokenize = clock.ms();
  answer.prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  Stopwatch prefill_clock;
  PrefillResult result = prefill(request, prompt);
  answer.timings.prefill = prefill_clock.ms();
  answer.timings.select = result.select_ms;
  answer.timings.first_token = clock.ms();
  answer.kept_tokens = result.kept_tokens;
  answer.prefill = {prompt.method->name(), prompt.method->params(), result.report.active,
                    result.report.reason, result.report.selection_layer};
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

}  // namespace claa
