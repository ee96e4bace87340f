// The library as a program sees it, on the real model.
#include <gtest/gtest.h>

#include <cmath>

#include "claa/engine.h"

namespace claa {
namespace {

constexpr const char* kModel = CLAA_SOURCE_DIR "/models/SmolLM2-135M-Instruct.Q4_1.gguf";

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

TEST(Engine, AnswerEndsAtTheContext) {
  Request request;
  request.ids.assign(8191, 100);
  request.method = "claa";
  request.max_tokens = 8;
  const Answer answer = engine().answer(request);
  EXPECT_EQ(answer.finish, FinishReason::kLength);
  EXPECT_LE(answer.tokens.size(), 2u);
}

}  // namespace
}  // namespace claa
