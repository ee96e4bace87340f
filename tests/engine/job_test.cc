// Jobs: several requests in progress on one engine give the bits that each gives alone, in any order of steps
// and from any threads; and what a request protects lives to the end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <thread>

#include "claa/engine.h"
#include "claa/ranker.h"
#include "core/usize.h"
#include "paths.h"

namespace claa {
namespace {

Engine& engine() {
  // One thread: tests run side by side, and threads that wait for each other take the others' time. No
  // profile: its window is longer than these prompts.
  static Engine instance = [] {
    EngineOptions options;
    options.threads = 1;
    options.profile = "none";
    return Engine::load(test_model(), options);
  }();
  return instance;
}

std::vector<int32_t> ids_of(int64_t tokens, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids(usize(tokens));
  for (int32_t& id : ids) id = static_cast<int32_t>(100 + random() % 40000);
  return ids;
}

// One request per method, and claa with all that it can do, on prompts of several lengths.
std::vector<Request> requests() {
  std::vector<Request> all;
  for (const MethodInfo& info : engine().methods().all()) {
    Request request;
    request.method = info.name;
    all.push_back(request);
  }
  Request heads;
  heads.method = "claa";
  heads.params = {{"heads", "8.6,10.0*2,14.7"}, {"mass", "0.5"}, {"look_ahead", "2"}, {"keep", "0.3"}};
  all.push_back(heads);
  Request early = heads;
  early.params.erase("look_ahead");
  early.params["early_drops"] = "9:0.6";
  all.push_back(early);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].ids = ids_of(40 + 5 * static_cast<int64_t>(i), static_cast<uint32_t>(i));
    all[i].max_tokens = 2;
    if (all[i].method == "oracle") all[i].params["answer_tokens"] = "2";
  }
  return all;
}

void expect_same(const Answer& alone, const Answer& job, const std::string& what) {
  EXPECT_EQ(alone.tokens, job.tokens) << what;
  EXPECT_EQ(alone.kept_tokens, job.kept_tokens) << what;
  EXPECT_EQ(alone.text, job.text) << what;
  EXPECT_EQ(alone.prefill.active, job.prefill.active) << what;
}

TEST(Job, AnyOrderOfStepsGivesTheAnswersOfLoneRequests) {
  const std::vector<Request> all = requests();
  std::vector<Answer> alone;
  for (const Request& request : all) alone.push_back(engine().answer(request));
  std::mt19937 random(1);
  std::vector<Job> jobs;
  for (const Request& request : all) jobs.push_back(engine().start(request));
  std::vector<size_t> open(jobs.size());
  for (size_t i = 0; i < open.size(); ++i) open[i] = i;
  while (!open.empty()) {
    const size_t pick = random() % open.size();
    if (!jobs[open[pick]].step()) open.erase(open.begin() + static_cast<std::ptrdiff_t>(pick));
  }
  for (size_t i = 0; i < jobs.size(); ++i) expect_same(alone[i], jobs[i].answer(), all[i].method);
}

TEST(Job, ThreadsTakeTurns) {
  const std::vector<Request> all = requests();
  std::vector<Answer> alone, got(4);
  for (size_t i = 0; i < got.size(); ++i) alone.push_back(engine().answer(all[i]));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < got.size(); ++i) {
    threads.emplace_back([&, i] {
      Job job = engine().start(all[i]);
      while (job.step()) {
      }
      got[i] = job.answer();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < got.size(); ++i) expect_same(alone[i], got[i], all[i].method);
}

// A unit is half a layer: a prompt of one chunk takes two per layer.
TEST(Job, StepsAreHalvesOfLayersThenTokens) {
  Request request;
  request.ids = ids_of(50, 3);
  request.max_tokens = 4;
  int64_t layers = 0;
  request.on_progress = [&](const PrefillProgress& progress) { layers = progress.layers; };
  Job job = engine().start(request);
  int64_t steps = 1;
  for (; job.answer().tokens.empty(); ++steps) ASSERT_TRUE(job.step());
  EXPECT_GE(steps, 2 * layers);
  EXPECT_LE(steps, 2 * layers + 6);
  while (job.step()) {
  }
  EXPECT_EQ(job.answer().tokens.size(), 4u);
  EXPECT_FALSE(job.step()) << "an answer that is complete stays so";
}

TEST(Job, CanBeCancelledAndAbandonedAtAnyStep) {
  const std::vector<Request> all = requests();
  const Answer alone = engine().answer(all.front());
  for (const int steps : {0, 7, 61}) {
    Job job = engine().start(all.back());
    for (int i = 0; i < steps; ++i) job.step();
    job.cancel();
    try {
      job.step();
      ADD_FAILURE() << "a step after the cancellation";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    }
    EXPECT_FALSE(job.step());
    Job abandoned = engine().start(all.back());
    for (int i = 0; i < steps; ++i) abandoned.step();
  }
  expect_same(alone, engine().answer(all.front()), "after jobs that never ended");
}

TEST(Job, KeepsItsModelAlive) {
  Request request;
  request.ids = ids_of(30, 8);
  request.max_tokens = 2;
  const Answer alone = engine().answer(request);
  std::optional<Job> job;
  {
    EngineOptions options;
    options.threads = 1;
    Engine other = Engine::load(test_model(), options);
    job = other.start(request);
  }
  while (job->step()) {
  }
  expect_same(alone, job->answer(), "the engine is gone");
}

// Expects that every prompt position of the range has an entry in every layer and head, and lives to the end.
void expect_kept(const Trace& trace, int64_t begin, int64_t end) {
  for (int64_t position = begin; position < end; ++position) {
    const auto p = static_cast<int32_t>(position);
    if (trace.selected) {
      EXPECT_TRUE(std::binary_search(trace.selected->begin(), trace.selected->end(), p)) << position;
    }
    for (const LayerTrace& layer : trace.layers) {
      for (const std::vector<int32_t>& kept : layer.kept)
        EXPECT_TRUE(std::binary_search(kept.begin(), kept.end(), p)) << position;
    }
  }
}

TEST(Protection, TokenRangesLiveUnderEveryMethod) {
  for (Request request : requests()) {
    if (request.method == "gemfilter") continue;  // renumbers; see below
    request.ids = ids_of(60, 5);
    request.max_tokens = 1;
    request.protect.tokens = {{3, 9}, {40, 43}};
    if (request.method != "full") request.params["keep"] = "0.15";
    const Trace trace = engine().trace(request);
    EXPECT_EQ(trace.answer.prefill.protected_tokens, 9);
    EXPECT_EQ(trace.answer.prefill.active, request.method != "full") << request.method;
    expect_kept(trace, 3, 9);
    expect_kept(trace, 40, 43);
  }
  Request request;
  request.ids = ids_of(90, 5);
  request.method = "gemfilter";
  request.params = {{"keep", "0.15"}};
  request.max_tokens = 1;
  request.protect.tokens = {{3, 9}};
  const Trace trace = engine().trace(request);
  ASSERT_TRUE(trace.selected.has_value());
  for (int32_t position = 3; position < 9; ++position)
    EXPECT_TRUE(std::binary_search(trace.selected->begin(), trace.selected->end(), position));
}

TEST(Protection, ABudgetIsRaisedWhereItCannotHoldThem) {
  Request request;
  request.ids = ids_of(90, 6);
  request.method = "claa";
  request.params = {{"keep_tokens", "10"}, {"first_layer", "0"}};
  request.max_tokens = 1;
  request.protect.tokens = {{10, 40}};
  const Trace trace = engine().trace(request);
  EXPECT_EQ(trace.answer.kept_tokens, 38);  // 30 and the window
  expect_kept(trace, 10, 40);
  request.protect.tokens = {{0, 90}};
  const Answer all = engine().answer(request);
  EXPECT_FALSE(all.prefill.active);
  EXPECT_THAT(all.prefill.reason, testing::HasSubstr("protected"));
  request.method = "full";
  request.params.clear();
  EXPECT_EQ(all.tokens, engine().answer(request).tokens);
}

TEST(Protection, BySystemMessageTextAndMessage) {
  Request request;
  request.system = "Answer in one word.";
  for (int i = 0; i < 25; ++i) request.prompt += "The shop in street " + std::to_string(i) + " sells bread. ";
  request.prompt += "Which street is first?";
  request.method = "claa";
  request.params = {{"keep", "0.1"}, {"first_layer", "0"}};
  request.max_tokens = 1;
  const auto text_of = [&](const std::vector<int32_t>& positions, const Trace& trace) {
    std::string text;
    for (const int32_t p : positions) text += engine().token_text(trace.prompt_tokens[usize(p)]);
    return text;
  };
  Trace trace = engine().trace(request);
  EXPECT_THAT(text_of(*trace.selected, trace), testing::HasSubstr("Answer in one word."));
  EXPECT_GT(trace.answer.prefill.protected_tokens, 0);

  request.protect.system = false;
  EXPECT_EQ(engine().answer(request).prefill.protected_tokens, 0);
  request.protect.texts = {"The shop in street 17 sells bread."};
  trace = engine().trace(request);
  EXPECT_THAT(text_of(*trace.selected, trace), testing::HasSubstr("The shop in street 17 sells bread."));

  request.protect.texts.clear();
  request.protect.messages = {1};
  trace = engine().trace(request);
  if (trace.selected) {
    EXPECT_THAT(text_of(*trace.selected, trace), testing::HasSubstr(request.prompt));
  }
  EXPECT_GE(trace.answer.prefill.protected_tokens, 25 * 7);
}

// A result that says what the question says is protected where it stands itself.
TEST(Protection, OfAToolsResult) {
  const std::string same = "The bakery in street 99 is closed on Sundays.";
  Request request;
  request.messages = {{"user", same + " Look it up."}, {"assistant", "I look."}, {"tool", same}};
  std::string streets;
  for (int i = 0; i < 25; ++i) streets += "The shop in street " + std::to_string(i) + " sells bread. ";
  request.messages.push_back({"user", streets + "Which street is first?"});
  request.method = "claa";
  request.params = {{"keep", "0.15"}, {"first_layer", "0"}};
  request.max_tokens = 1;
  request.protect.messages = {2};
  const Trace trace = engine().trace(request);
  std::string text;
  std::vector<size_t> begins;
  for (const int32_t id : trace.prompt_tokens) {
    begins.push_back(text.size());
    text += engine().token_text(id);
  }
  const auto kept_of = [&](size_t at) {
    size_t kept = 0;
    for (const int32_t p : *trace.selected) {
      const size_t begin = begins[usize(p)];
      if (begin >= at && begin < at + same.size()) ++kept;
    }
    return kept;
  };
  ASSERT_NE(text.find(same), text.rfind(same));
  EXPECT_GE(trace.answer.prefill.protected_tokens, 8);
  EXPECT_EQ(kept_of(text.rfind(same)), usize(trace.answer.prefill.protected_tokens));
  EXPECT_LT(kept_of(text.find(same)), kept_of(text.rfind(same)));
}

TEST(Protection, RefusesWhatThePromptLacks) {
  const auto refusal = [](const Protection& protect, bool by_ids) -> std::string {
    Request request;
    if (by_ids) {
      request.ids = ids_of(20, 1);
    } else {
      request.prompt = "Two words";
    }
    request.protect = protect;
    try {
      engine().start(request);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "";
  };
  using testing::HasSubstr;
  EXPECT_THAT(refusal({.texts = {"three words"}}, false), HasSubstr("does not hold the text 'three words'"));
  EXPECT_THAT(refusal({.texts = {""}}, false), HasSubstr("the text is empty"));
  EXPECT_THAT(refusal({.messages = {1}}, false), HasSubstr("there is no message 1; the request has 1"));
  EXPECT_THAT(refusal({.messages = {0}}, true), HasSubstr("no messages"));
  for (const TokenRange& range : {TokenRange{5, 5}, TokenRange{-1, 3}, TokenRange{0, 21}, TokenRange{20, 22}})
    EXPECT_THAT(refusal({.tokens = {range}}, true), HasSubstr("in a prompt of 20"));
}

// A caller's own method, without a registry.
class LastTokens : public Ranker {
 public:
  Scores rank(LayerView& view) override {
    std::vector<float> scores;
    for (int64_t i = 0; i < view.live() - 8; ++i) scores.push_back(static_cast<float>(i));
    return view.put(scores);
  }
  Scores combine(LayerView& /*view*/, std::span<const Scores> layers) override { return layers.back(); }
};
class OwnMethod : public Method {
 public:
  const std::string& name() const override { return name_; }
  std::vector<std::pair<std::string, std::string>> params() const override { return {}; }
  std::unique_ptr<Run> start(const PromptInfo& prompt) const override {
    return make_run(
        prompt,
        PerLayer{.kept = {0, 20}, .ranker = std::make_shared<LastTokens>(), .live = Drop{2, {0, 20}, {}}});
  }

 private:
  std::string name_ = "last_tokens";
};

TEST(Request, TakesAMethodOfTheCallersOwn) {
  Request request;
  request.ids = ids_of(60, 2);
  request.own_method = std::make_shared<OwnMethod>();
  request.max_tokens = 1;
  const Trace trace = engine().trace(request);
  EXPECT_EQ(trace.answer.prefill.method, "last_tokens");
  std::vector<int32_t> last(20);
  for (int32_t i = 0; i < 20; ++i) last[usize(i)] = 40 + i;
  EXPECT_EQ(trace.selected, last);
}

TEST(Shape, IsAnEngineWithoutATokenizer) {
  EngineOptions options;
  options.dtype = "f32";
  Engine shape = Engine::load(ModelSource::of_shape("smollm2-135m"), options);
  EXPECT_EQ(shape.model().layers, 30);
  Request request;
  request.ids = ids_of(40, 4);
  request.max_tokens = 2;
  EXPECT_EQ(shape.answer(request).tokens.size(), 2u);
  request.ids.clear();
  request.prompt = "text";
  EXPECT_THROW(shape.answer(request), Error);
  EXPECT_THROW(shape.detokenize({1}), Error);
  EXPECT_THROW(Engine::load(ModelSource::of_shape("no-such-shape")), Error);
}

}  // namespace
}  // namespace claa
