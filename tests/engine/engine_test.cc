// The library as a program uses it, on the real model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include "claa/engine.h"
#include "gguf/file.h"
#include "gguf/writer.h"
#include "paths.h"

namespace claa {
namespace {

const std::string kModel = test_model();

Engine& engine() {
  static Engine instance = Engine::load(kModel);
  return instance;
}

ErrorCode code_of(const Request& request) {
  try {
    engine().answer(request);
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInternal;
}

TEST(Engine, AnswersAndStreamsTheSameText) {
  Request request;
  request.prompt = "What is the capital of France?";
  std::string streamed;
  request.on_text = [&](std::string_view text) { streamed += text; };
  const Answer answer = engine().answer(request);
  EXPECT_NE(answer.text.find("Paris"), std::string::npos) << answer.text;
  EXPECT_EQ(streamed, answer.text);
  EXPECT_EQ(answer.finish, FinishReason::kEnd);
  EXPECT_EQ(answer.kept_tokens, answer.prompt_tokens);
  EXPECT_FALSE(answer.prefill.active);
  EXPECT_FALSE(answer.prefill.reason.empty());
  EXPECT_GE(answer.timings.first_token, answer.timings.prefill);
  EXPECT_GT(answer.timings.prefill, 0);
}

int64_t threads_of_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

// The threads are the engine's: a call from another thread starts no more of them.
TEST(Engine, TheNumberOfThreadsHoldsForCallsFromAnyThread) {
  for (const char* dtype : {"f32", "int8"}) {
    const int64_t before = threads_of_process();
    EngineOptions options;
    options.threads = 3;
    options.dtype = dtype;
    Engine loaded = Engine::load(kModel, options);
    EXPECT_EQ(threads_of_process(), before + 2) << dtype;
    int64_t most = 0;
    std::string text;
    std::thread caller([&] {
      Request request;
      request.prompt = "What is the capital of France?";
      request.on_text = [&](std::string_view) { most = std::max(most, threads_of_process()); };
      text = loaded.answer(request).text;
    });
    caller.join();
    EXPECT_EQ(most, before + 2 + 1) << dtype << ": the engine's, and the caller";
    EXPECT_NE(text.find("Paris"), std::string::npos) << text;
  }
}

TEST(Engine, PromptTextNeverBecomesControlTokens) {
  Request request;
  request.prompt = "a";
  const size_t shorter = engine().tokenize(request).size();
  request.prompt = "<|im_end|>";
  const std::vector<int32_t> ids = engine().tokenize(request);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 2) << "the template itself closes two messages";
  EXPECT_GT(ids.size(), shorter + 2) << "the text is spelled out";
}

TEST(Engine, TokenTextsAreTheRawBytesAndTheNamesOfSpecialTokens) {
  Request request;
  request.prompt = "naïve 日本語";
  std::string joined;
  for (const int32_t id : engine().tokenize(request)) joined += engine().token_text(id);
  EXPECT_NE(joined.find("<|im_start|>user\nnaïve 日本語<|im_end|>"), std::string::npos) << joined;
  EXPECT_THROW(engine().token_text(-1), Error);
  EXPECT_THROW(engine().token_text(static_cast<int32_t>(engine().model().vocabulary)), Error);
}

TEST(Engine, AnswerPrefixBeginsTheAnswer) {
  Request request;
  request.prompt = "What is the capital of France?";
  request.answer_prefix = "The capital of France is";
  request.max_tokens = 3;
  EXPECT_TRUE(engine().answer(request).text.starts_with(" Paris")) << engine().answer(request).text;
}

// The model as its own draft model chooses what it chooses without one.
TEST(Engine, DraftModelOfTheSameVocabulary) {
  EngineOptions options;
  options.draft = kModel;
  Engine drafted = Engine::load(kModel, options);
  EXPECT_EQ(drafted.model().draft, kModel);
  Request request;
  request.prompt = std::string(400, 'a') + " What is the capital of France?";
  request.method = "specprefill";
  request.params = {{"keep", "0.3"}};
  request.max_tokens = 2;
  const Trace a = drafted.trace(request), b = engine().trace(request);
  ASSERT_TRUE(a.selected);
  EXPECT_EQ(a.selected, b.selected);
  EXPECT_EQ(a.scores, b.scores);
  EXPECT_EQ(a.answer.tokens, b.answer.tokens);
  EXPECT_GT(a.answer.timings.entry, 0);
}

TEST(Engine, RefusesADraftModelOfAnotherVocabulary) {
  const gguf::File model = gguf::File::open(kModel);
  const auto message = [&](const std::vector<std::string>& tokens) -> std::string {
    const std::vector<int64_t> types = *model.get_ints("tokenizer.ggml.token_type");
    std::vector<int32_t> kinds(types.begin(), types.begin() + static_cast<long>(tokens.size()));
    std::vector<std::string> merges;
    gguf::Writer writer;
    writer.add("general.architecture", std::string("llama"));
    writer.add("tokenizer.ggml.model", std::string("gpt2"));
    writer.add("tokenizer.ggml.pre", std::string("smollm"));
    writer.add("tokenizer.ggml.tokens", tokens);
    writer.add("tokenizer.ggml.token_type", kinds);
    writer.add("tokenizer.ggml.merges", merges);
    const std::vector<std::byte> bytes = writer.to_bytes();
    const std::string path = testing::TempDir() + "draft.gguf";
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<long>(bytes.size()));
    EngineOptions options;
    options.draft = path;
    try {
      Engine::load(kModel, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  const auto views = *model.get_strings("tokenizer.ggml.tokens");
  std::vector<std::string> tokens(views.begin(), views.end());
  tokens[300] += "x";
  EXPECT_NE(message(tokens).find("token 300 differs"), std::string::npos) << message(tokens);
  tokens.pop_back();
  EXPECT_NE(message(tokens).find("49,151 tokens, the model has 49,152"), std::string::npos)
      << message(tokens);
}

TEST(Engine, StopStringEndsTheAnswerAndIsNotShown) {
  Request request;
  request.prompt = "What is the capital of France?";
  request.stop = {" of France"};
  const Answer answer = engine().answer(request);
  EXPECT_EQ(answer.finish, FinishReason::kStop);
  EXPECT_EQ(answer.text, "The capital");
}

TEST(Engine, PrefillOnly) {
  Request request;
  request.prompt = "Hello";
  request.max_tokens = 0;
  const Answer answer = engine().answer(request);
  EXPECT_TRUE(answer.tokens.empty());
  EXPECT_TRUE(answer.text.empty());
}

TEST(Engine, SamplingIsReproducible) {
  Request request;
  request.prompt = "Tell me a story.";
  request.max_tokens = 12;
  request.sampling.temperature = 1.5;
  request.sampling.seed = 7;
  const Answer first = engine().answer(request);
  EXPECT_EQ(first.tokens, engine().answer(request).tokens);
  request.sampling.seed = 8;
  EXPECT_NE(first.tokens, engine().answer(request).tokens);
}

TEST(Engine, RefusesBadRequests) {
  Request empty;
  EXPECT_EQ(code_of(empty), ErrorCode::kInvalidArgument);
  Request method;
  method.prompt = "x";
  method.method = "clara";
  EXPECT_EQ(code_of(method), ErrorCode::kInvalidArgument);
  Request length;
  length.ids.assign(8193, 5);
  EXPECT_EQ(code_of(length), ErrorCode::kContextExceeded);
  Request ids;
  ids.ids = {1, 49152};
  EXPECT_EQ(code_of(ids), ErrorCode::kInvalidArgument);
  Request both;
  both.ids = {1, 2};
  both.prompt = "x";
  EXPECT_EQ(code_of(both), ErrorCode::kInvalidArgument);
  both.prompt.clear();
  both.system = "x";
  EXPECT_EQ(code_of(both), ErrorCode::kInvalidArgument);
  Request temperature;
  temperature.prompt = "x";
  temperature.sampling.temperature = std::nan("");
  EXPECT_EQ(code_of(temperature), ErrorCode::kInvalidArgument);
  Request tokens;
  tokens.prompt = "x";
  tokens.max_tokens = -1;
  EXPECT_EQ(code_of(tokens), ErrorCode::kInvalidArgument);
}

TEST(Engine, CancelStopsWithinALayer) {
  std::atomic<bool> cancel{false};
  Request request;
  request.ids.assign(1500, 100);
  request.cancel = &cancel;
  int calls_after = 0;
  request.on_progress = [&](const PrefillProgress&) {
    if (cancel.exchange(true)) ++calls_after;
  };
  EXPECT_EQ(code_of(request), ErrorCode::kCancelled);
  EXPECT_EQ(calls_after, 0) << "a chunk was computed after the caller had asked to stop";
}

// The greedy answer, fed back, is what every step would have said; the logits are the same numbers.
TEST(Engine, ScoresAContinuationStepByStep) {
  Request request;
  request.prompt = std::string(300, 'a') + " What is the capital of France?";
  request.max_tokens = 6;
  for (const char* method : {"full", "claa", "gemfilter"}) {
    request.method = method;
    const Answer own = engine().answer(request);
    std::vector<int32_t> best;
    const Answer forced =
        engine().score_continuation(request, own.tokens, [&](int64_t step, const std::vector<float>& logits) {
          ASSERT_EQ(step, static_cast<int64_t>(best.size()));
          best.push_back(
              static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
        });
    EXPECT_EQ(best, own.tokens) << method;
    EXPECT_EQ(forced.tokens, own.tokens);
    EXPECT_EQ(forced.kept_tokens, own.kept_tokens);
    EXPECT_EQ(forced.prefill.params, own.prefill.params);
  }
}

TEST(Engine, RefusesBadContinuations) {
  const auto code = [](const std::vector<int32_t>& prompt, const std::vector<int32_t>& tokens) {
    Request request;
    request.ids = prompt;
    try {
      engine().score_continuation(request, tokens, [](int64_t, const std::vector<float>&) {});
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kInternal;
  };
  EXPECT_EQ(code({5}, {}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({5}, {49152}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(std::vector<int32_t>(8190, 5), {1, 2, 3}), ErrorCode::kContextExceeded);
}

// A look-ahead has its positions however short the answer may be. Each case has its own engine, because an
// engine remembers the longest prompt it was asked.
TEST(Engine, LookAheadDoesNotDependOnTheLongestAnswer) {
  Request request;
  for (int32_t i = 0; i < 300; ++i) request.ids.push_back(100 + 37 * i % 40000);
  request.method = "claa";
  request.params = {{"heads", "15.6,17.0*2,18.7"}, {"selection_layer", "18"}, {"window", "16"}};
  const auto top_of = [&](int64_t max_tokens) {
    request.max_tokens = max_tokens;
    return Engine::load(kModel).trace(request, 49152).top;
  };
  const auto plain = top_of(0);
  request.params["look_ahead"] = "20";
  const auto shortest = top_of(0);
  EXPECT_EQ(shortest, top_of(60));
  EXPECT_NE(shortest, plain) << "the look-ahead changes nothing";
}

// A quality is the method claa with the model's profile, and the summary says so.
TEST(Engine, AnswersByQuality) {
  Request request;
  for (int32_t i = 0; i < 300; ++i) request.ids.push_back(100 + 37 * i % 40000);
  request.max_tokens = 1;
  request.quality = "balanced";
  const PrefillSummary balanced = engine().answer(request).prefill;
  EXPECT_EQ(balanced.method, "claa");
  EXPECT_EQ(balanced.quality, "balanced");
  EXPECT_EQ(balanced.profile, "bundled");
  EXPECT_EQ(balanced.profile_note, "profile bundled");
  const ParamValues params(balanced.params.begin(), balanced.params.end());
  EXPECT_FALSE(params.at("heads").empty());
  EXPECT_EQ(params.at("mass"), "0.7");
  request.quality = "";
  const PrefillSummary full = engine().answer(request).prefill;
  EXPECT_EQ(full.method, "full");
  EXPECT_EQ(full.profile + full.profile_note, "");
  request.quality = "best";
  EXPECT_EQ(code_of(request), ErrorCode::kInvalidArgument);
  request.quality = "fast";
  request.method = "snapkv";
  EXPECT_EQ(code_of(request), ErrorCode::kInvalidArgument);
}

TEST(Engine, WithoutAProfileThePublishedSettingsApply) {
  EngineOptions options;
  options.profile = "none";
  Engine plain = Engine::load(kModel, options);
  Request request;
  for (int32_t i = 0; i < 300; ++i) request.ids.push_back(100 + 37 * i % 40000);
  request.max_tokens = 0;
  request.method = "claa";
  const PrefillSummary summary = plain.answer(request).prefill;
  EXPECT_EQ(summary.profile, "");
  EXPECT_EQ(summary.profile_note, "no profile");
  EXPECT_EQ(ParamValues(summary.params.begin(), summary.params.end()).at("heads"), "");
  EXPECT_EQ(engine().answer(request).prefill.profile, "bundled");
  options.profile = "no/such/file.json";
  EXPECT_THROW(Engine::load(kModel, options), Error);
}

TEST(Engine, AnswerEndsAtTheContext) {
  Request request;
  request.ids.assign(8191, 100);
  request.method = "claa";
  request.params = {
      {"heads", ""}, {"last_layers", "1"}, {"selection_layer", "1"}};  // most layers see few tokens
  request.max_tokens = 8;
  const Answer answer = engine().answer(request);
  EXPECT_EQ(answer.finish, FinishReason::kLength);
  EXPECT_LE(answer.tokens.size(), 2u);
}

}  // namespace
}  // namespace claa
