// The inside of an Engine and of a Job. Private to this folder.
#pragma once

#include <mutex>
#include <optional>
#include <span>

#include "claa/engine.h"
#include "core/clock.h"
#include "decode/sampler.h"
#include "decode/stop.h"
#include "gguf/file.h"
#include "model/model.h"
#include "prefill/decoder.h"
#include "prefill/runner.h"
#include "profile/choice.h"
#include "template/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace claa {

// A request's text as tokens.
struct PromptTokens {
  std::vector<int32_t> ids;
  std::string note = {};               // what was done otherwise than the request says at first
  std::string text = {};               // by the chat template, with the answer prefix; empty without one
  std::vector<TextRange> places = {};  // of the messages in `text`
};

// A request as the model sees it.
struct Prompt {
  std::vector<int32_t> ids;
  std::shared_ptr<const Method> method;
  std::vector<TokenRange> protected_spans;
  std::string note = {};      // what of the request could not be done as asked
  ProfileChoice choice = {};  // of the method's parameters
};

// Turns generated tokens into streamed text: whole characters, stop strings held back, no special tokens.
// Without a tokenizer there is no text, and no token ends the answer.
class AnswerText {
 public:
  AnswerText(const Tokenizer* tokenizer, const Request& request, Answer& answer);
  // Records a token; false when the answer ends with it, for the reason left in Answer::finish.
  bool push(int32_t token);
  void finish();  // shows what was held back

 private:
  void show(const std::string& text);
  const Tokenizer* tokenizer_;
  const Request& request_;
  Answer& answer_;
  StopMatcher stops_;
  Utf8Stream utf8_;
};

struct Engine::Impl {
  Impl(const ModelSource& source, const EngineOptions& options);

  const Tokenizer& text() const;  // throws where there is no tokenizer
  PromptTokens tokenize(const Request& request) const;
  PromptTokens tokenize_plain(const Request& request) const;
  PromptTokens tokenize_chat(const ChatTemplate& chat_template, const Request& request) const;
  // The model's chat template, parsed when it is first used; null where the file has none. Throws kTemplate.
  const ChatTemplate* chat() const;
  Prompt prepare(const Request& request) const;
  void choose_method(const Request& request, Prompt& prompt) const;
  void check_size(const Request& request) const;
  void check_length(const Request& request, int64_t tokens) const;
  PrefillOptions prefill_options(const Request& request, const Prompt& prompt) const;
  bool ends_answer(int32_t id) const { return tokenizer && tokenizer->is_end_of_generation(id); }
  OracleResult oracle(const OracleRequest& request);

  const BackendOptions device;
  std::unique_ptr<Backend> backend;
  std::vector<gguf::File> mapped;      // files whose blocks the weights are
  std::optional<Tokenizer> tokenizer;  // none for a shape
  std::optional<Model> model;
  std::optional<Model> drafter;  // looks ahead for `specprefill`, with the vocabulary of the model
  MethodRegistry methods;
  ModelSummary summary;
  std::optional<ProfileFinder> profiles;
  double load_ms = 0;
  std::mutex turn;  // held for one unit of device work

 private:
  mutable std::mutex chat_mutex_;
  mutable std::optional<ChatTemplate> chat_;

  void load_file(const std::string& path, const EngineOptions& options);
  void load_shape(const std::string& name, const EngineOptions& options);
  void load_drafter(const std::string& path, const std::string& cache_folder);
  // Throws kOutOfMemory for a model that is too large, before it is loaded. `file` is null for a shape.
  void check_fit(const std::string& name, const ModelConfig& config, const gguf::File* file) const;
};

// The stages of a request, for step() and for those who look on.
struct Job::Impl {
  Impl(std::shared_ptr<Engine::Impl> engine, Request request);
  bool step();

  std::shared_ptr<Engine::Impl> engine;
  Request request;
  Prompt prompt;
  Answer answer;
  PrefillResult prefilled;                               // once `decoder` is there
  std::function<void(const PrefillResult&)> on_prefill;  // sees it before the first token; may be empty
  std::atomic<bool> cancelled{false};

 private:
  void begin_answer();
  bool decode();
  void finish();

  Stopwatch clock_;
  std::optional<Prefill> prefill_;  // none once it is done
  std::optional<Decoder> decoder_;
  std::optional<Sampler> sampler_;
  std::optional<AnswerText> text_;
  std::vector<int32_t> seen_;
  const std::vector<float>* logits_ = nullptr;
  bool over_ = false;
};

// Token ranges of the prompt that the request protects, ascending and disjoint. `note`: what could not be
// done as asked. Throws Error{kInvalidArgument} for a text, message or range that the prompt lacks.
std::vector<TokenRange> protected_spans(const Request& request, const Tokenizer* tokenizer,
                                        const PromptTokens& tokens, std::string& note);

}  // namespace claa
