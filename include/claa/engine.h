// The library in one header: load a model, ask a question about a long text, stream the answer.
//
//   claa::Engine engine = claa::Engine::load("model.gguf");
//   claa::Request request;
//   request.prompt = document + "\n\nQuestion: who signed the treaty?";
//   request.quality = "balanced";
//   request.on_text = [](std::string_view piece) { std::cout << piece << std::flush; };
//   claa::Answer answer = engine.answer(request);
//
// Everything may throw claa::Error (error.h). The library never prints, exits or aborts, and reads no
// environment. Signal handlers of the program need a stack of their own (sigaltstack, SA_ONSTACK): oneDNN's
// matrix kernels use the stack register for a heap buffer, and a handler on that stack would overwrite
// memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "claa/chat.h"
#include "claa/error.h"
#include "claa/export.h"
#include "claa/params.h"
#include "claa/prefill.h"
#include "claa/ranking.h"
#include "claa/registry.h"
#include "claa/stages.h"

namespace claa {

struct EngineOptions {
  std::string device = "auto";  // "cpu", "cuda", "auto" (cuda where it can be used, else cpu) or "reference"
  // "f32", "bf16", "int8" (cpu: bf16 with integer products), "fp8" (cuda: linear layers in
  // FP8), or "auto": bf16 where the device multiplies it, else f32
  std::string dtype = "auto";
  // "resident": weights stay the blocks of their file, which the CPU multiplies where it is mapped and a GPU
  // in its own memory; "widened": weights are copied to the type of dtype; or "auto": resident on a GPU in
  // bf16 and f32, and on the CPU where not a bit changes, which is with f32. With bf16 and int8 resident
  // weights of the CPU are much smaller, and the activations of decode steps are rounded to 8 bits.
  std::string weights = "auto";
  int threads = 0;    // 0: physical cores
  std::string draft;  // file or folder of a draft model for `specprefill`, of the same vocabulary; "": none
  std::string isa;    // cap on the instruction set, for tests: "avx2", "avx512", "avx2bf16" or ""
  // The profile that the method `claa` chooses by: a file of `claa calibrate`; "auto": MODEL.profile.json
  // beside the model, else the one that the library has for its weights; or "none", the published settings.
  std::string profile = "auto";
  // Where small files that spare a later process some work are kept; "": nowhere.
  std::string cache_folder;
  std::function<void(int64_t layers_done, int64_t layers)> on_load;
};

// A model: a GGUF file or a folder of transformers, or a published shape by name ("llama-3.1-8b") with random
// weights, which shows speed and has no tokenizer.
struct ModelSource {
  ModelSource(std::string path) : file(std::move(path)) {}
  ModelSource(const char* path) : file(path) {}
  static ModelSource of_shape(std::string name) {
    ModelSource source("");
    source.shape = std::move(name);
    return source;
  }
  std::string file, shape;  // one of them is empty
};

struct SamplingParams {
  double temperature = 0;         // 0: greedy
  int64_t top_k = 0;              // 0: off
  double top_p = 1;               // 1: off
  double min_p = 0;               // 0: off
  double repetition_penalty = 1;  // 1: off; over the tokens of the prompt and the answer
  uint64_t seed = 0;
};

struct PrefillProgress {
  int64_t layer, layers;  // 0-based layer at work
  int64_t rows, live;     // tokens done of those in this layer
};

// Parts of the prompt that no drop and no cut takes, whatever their scores. They count towards the budget,
// which is raised where it cannot hold them.
struct Protection {
  bool system = true;                   // the system or developer message, where the request has one
  std::vector<std::string> texts = {};  // every place where these stand in the prompt
  // By index: of Request::messages, else the system message, if there is one, and then the user's.
  std::vector<int64_t> messages = {};
  std::vector<TokenRange> tokens = {};  // token ranges of the prompt
};

struct Request {
  std::string prompt;
  // The system message. An empty one is as good as none, except that it switches off the one which the chat
  // template writes of its own, where it has one.
  std::optional<std::string> system;
  // A whole chat (claa/chat.h) in place of the prompt and the system message.
  std::vector<Message> messages;
  // What the model may call, as a JSON array in the form of OpenAI's API. Refused where the chat template has
  // no place for tools.
  std::string tools;
  // A system message for which the chat template has no place stands before the user's first message, with a
  // blank line between; without this such a request is refused.
  bool system_fallback = false;
  // Further variables of the chat template, as a JSON object: {"enable_thinking": false}. Throws
  // kInvalidArgument for a variable that the template does not name.
  std::string chat_template_kwargs;
  std::string answer_prefix;  // how the answer begins; not repeated in its text
  bool raw = false;           // no chat template: the prompt as it is
  std::vector<int32_t> ids;   // when not empty: these tokens, and no prompt, system message or answer prefix
  std::string method = "full";
  ParamValues params;  // of the method, e.g. {"keep", "0.2"}; they win over profile and quality
  // Settings of `claa` that were measured, instead of a method: "balanced" (as many tokens as the prompt asks
  // for), "fast" (20 %, with an early drop), "faithful" (40 %) or "". Needs a profile of the model.
  std::string quality;
  // A method of the caller's own instead of `method` and `params` (claa/ranker.h).
  std::shared_ptr<const Method> own_method;
  Protection protect;
  int64_t max_tokens = 256;  // 0: prefill only
  SamplingParams sampling;
  // Strings that end the answer and are not part of it, at most 16 of 1 to 256 bytes. The name of a control
  // token ("<|im_end|>") in them stands for the token, which the answer's text does not show.
  std::vector<std::string> stop;
  std::function<void(std::string_view)> on_text;  // whole UTF-8 characters only
  std::function<void(const PrefillProgress&)> on_progress;
  const std::atomic<bool>* cancel = nullptr;  // set it to stop within a layer
  bool stages = false;  // measure prefill by kind of work, where the device can; costs a GPU a little time
};

// An account of the prefill: nothing is silent.
struct PrefillSummary {
  std::string method;
  std::vector<std::pair<std::string, std::string>> params;  // effective values
  bool active = false;                                      // whether anything was dropped
  std::string reason;                                       // why not, when inactive
  std::optional<int> selection_layer = {};                  // after which only the kept tokens were computed
  int64_t protected_tokens = 0;                             // of Request::protect
  std::optional<RankingSignals> signals = {};               // of the ranking, where the method measures them
  std::string note = {};     // what was done otherwise than the parameters say at first
  std::string quality = {};  // of the request
  std::string profile = {};  // that was used: "bundled" or its path; empty: none
  // For people: which profile, or why none; empty for a method that takes none.
  std::string profile_note = {};
};

struct Timings {           // milliseconds
  double load = 0;         // of the model, once
  double tokenize = 0;     // template and tokenizer
  double prefill = 0;      // prompt to first logits, selection included
  double entry = 0;        // passes that choose what enters (gemfilter, specprefill, oracle), inside prefill
  double select = 0;       // scores, aggregation, top-k and gathers, inside prefill
  double first_token = 0;  // request in to first token out
  double decode = 0;       // all further tokens
};

enum class FinishReason { kEnd, kLength, kStop };
CLAA_API const char* finish_reason_name(FinishReason reason);  // "end", "length", "stop"

struct Answer {
  std::string text;
  std::vector<int32_t> tokens;
  int64_t prompt_tokens = 0;
  int64_t kept_tokens = 0;  // computed in the last layers
  FinishReason finish = FinishReason::kLength;
  PrefillSummary prefill;
  Timings timings;
  std::vector<StageTime> stages;  // of prefill, when asked for
  size_t device_bytes = 0;        // most device memory used; 0 where that is the process's own memory
};

struct LayerTrace {
  int64_t live = 0;                        // tokens that entered the layer
  bool kept_all = true;                    // every live token has a cache entry
  std::vector<std::vector<int32_t>> kept;  // prompt positions per KV head (one list: shared), unless kept_all
  int64_t cache = 0;                       // entries per KV head
};

// Everything one prefill decided.
struct Trace {
  std::vector<int32_t> prompt_tokens;
  std::optional<std::vector<int32_t>> selected;  // prompt positions live after the last drop
  std::vector<LayerTrace> layers;
  std::vector<std::pair<int32_t, float>> top;  // best first logits
  // Of the ranking that chose the tokens, one per prompt token; those of the window may be missing.
  std::vector<float> scores;
  int64_t next_position = 0;
  Answer answer;
};

// The Answer-Informed Oracle (spec.md 8): what of the prompt an answer attends to.
struct OracleRequest {
  Request request;                           // its method is not used: the prefill is full, the answer greedy
  std::optional<std::string> gold;           // this answer, teacher forced, instead of the model's own
  int64_t kernel = 13;                       // width of the average pooling of the ranking
  std::function<void(LayerView&)> on_layer;  // gets every layer without a sliding window; may be empty
  // Scores of a SpecPrefill look-ahead by the model itself, from the same pass.
  std::optional<LookAheadSpec> look_ahead;
};

struct OracleResult {
  Ranking ranking;
  std::vector<float> look_ahead;  // one per prompt token, when asked for
  int64_t queries = 0;            // answer positions that the ranking is the mean of
  Answer answer;
};

// Sees the logits [vocabulary] that predict token `step` of a continuation; valid during the call.
using ContinuationObserver = std::function<void(int64_t step, const std::vector<float>& logits)>;

struct ModelSummary {
  std::string name, architecture, file;
  int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_size = 0, vocabulary = 0, context = 0;
  // Layers with a sliding window, and recurrent ones: neither can rank the prompt.
  int64_t windowed_layers = 0, recurrent_layers = 0;
  size_t weight_bytes = 0;    // matrices, in the form that is multiplied
  size_t resident_bytes = 0;  // those of them that stay the blocks of the file
  std::string device;         // instruction set, type, threads
  std::string dtype;          // activation type: "f32" or "bf16"
  uint64_t fingerprint = 0;   // of the weights
  std::string draft;          // file of the draft model, if any
  // Sentences for people about what the file leaves open.
  std::vector<std::string> warnings;
};

// A request in progress. Jobs of one engine may be stepped in any order and from any threads, which take
// turns; each gives the answer that it gives alone, bit for bit. A job keeps the model alive.
class CLAA_API Job {
 public:
  Job(Job&&) noexcept;
  Job& operator=(Job&&) noexcept;
  ~Job();

  // Does one unit: a chunk of rows of half a layer, or one decode step. False when the answer is complete.
  // Throws what Engine::answer() throws; the job is over then.
  bool step();
  // From any thread: the next step throws Error{kCancelled}.
  void cancel();
  // The answer so far. It must not be read while another thread is in step().
  const Answer& answer() const;

 private:
  friend class Engine;
  struct Impl;
  explicit Job(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class CLAA_API Engine {
 public:
  static Engine load(const ModelSource& source, const EngineOptions& options = {});
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  const ModelSummary& model() const;
  // The methods that requests can name; more may be added before the first request.
  MethodRegistry& methods();
  // Checks and tokenizes the request; no device work is done before the first step.
  Job start(Request request);
  // A job from its start to its end. Calls from several threads take turns, unit by unit.
  Answer answer(const Request& request);
  // As answer(), and reports every decision. `top` logits of the first token.
  Trace trace(const Request& request, int64_t top = 10);

  // A full prefill and its answer, with the attention from the answer back to the prompt. request.max_tokens
  // must be positive.
  OracleResult oracle(const OracleRequest& request);

  // Teacher forcing: prefill by the request's method, then `tokens` fed one by one whatever the model would
  // say, and the logits before each. Two methods given the same tokens can be compared step by step. The
  // request's max_tokens, sampling and stop strings are not used. Throws Error{kContextExceeded} when prompt
  // and continuation do not fit the context together.
  Answer score_continuation(const Request& request, const std::vector<int32_t>& tokens,
                            const ContinuationObserver& observe);

  // Prompt ids as answer() would compute them: template and special tokens unless raw.
  std::vector<int32_t> tokenize(const Request& request) const;
  std::string detokenize(const std::vector<int32_t>& ids) const;
  // Raw bytes of one token, which may begin or end inside a UTF-8 character; the name of a special token
  // ("<|im_end|>"); empty where the embedding has a row but the tokenizer no token. Throws outside the
  // vocabulary.
  std::string token_text(int32_t id) const;

 private:
  friend class Job;
  struct Impl;
  explicit Engine(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace claa
