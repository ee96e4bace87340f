// What an Engine holds. Private to this folder.
#pragma once

#include <map>
#include <optional>
#include <span>

#include "claa/engine.h"
#include "claa/registry.h"
#include "core/clock.h"
#include "decode/sampler.h"
#include "decode/stop.h"
#include "gguf/file.h"
#include "model/llama.h"
#include "prefill/runner.h"
#include "template/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace claa {

// What a request becomes before the model sees it.
struct Prompt {
  std::vector<int32_t> ids;
  std::unique_ptr<Method> method;
};

// A second, smaller model that looks ahead for `specprefill`; it speaks the token ids of the first.
struct Drafter {
  Drafter(const std::string& path, const Tokenizer& tokenizer, Backend& backend);
  gguf::File file;
  ModelConfig config;
  LlamaModel model;
};

// Turns generated tokens into streamed text: whole characters, stop strings held back, no special tokens.
class AnswerText {
 public:
  AnswerText(const Tokenizer& tokenizer, const Request& request, Answer& answer)
      : tokenizer_(tokenizer), request_(request), answer_(answer), stops_(request.stop) {}
  // Records a token; false when the answer ends with it, for the reason left in Answer::finish.
  bool push(int32_t token);
  void finish();  // shows what was held back

 private:
  void show(const std::string& text);
  const Tokenizer& tokenizer_;
  const Request& request_;
  Answer& answer_;
  StopMatcher stops_;
  Utf8Stream utf8_;
};

struct Engine::Impl {
  Impl(const std::string& path, const EngineOptions& options);

  std::vector<int32_t> tokenize(const Request& request) const;
  Prompt prepare(const Request& request) const;
  void check_length(const Request& request, int64_t tokens) const;
  PrefillOptions prefill_options(const Request& request, int64_t tokens) const;
  PrefillResult prefill(const Request& request, const Prompt& prompt);
  // The prefill of an answer, and all that `answer` says about it.
  PrefillResult begin(const Request& request, const Prompt& prompt, const Stopwatch& clock, Answer& answer);
  void generate(const Request& request, const Prompt& prompt, PrefillResult& prefill, const Stopwatch& clock,
                Answer& answer);
  Answer answer(const Request& request, Trace* trace, int64_t top);
  OracleResult oracle(const OracleRequest& request);
  Answer score_continuation(const Request& request, std::span<const int32_t> tokens,
                            const ContinuationObserver& observe);

  gguf::File file;
  ModelConfig config;
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat;
  std::unique_ptr<Backend> backend;
  LlamaModel model;
  std::optional<Drafter> drafter;
  MethodRegistry methods;
  ModelSummary summary;
  double load_ms = 0;
};

}  // namespace claa
