// The streamed oracle and look-ahead against a naive computation in f64 over captured queries and keys.
#include "prefill/look_ahead.h"

#include <cmath>
#include <numeric>

#include "core/usize.h"
#include "prefill/prefill_support.h"
#include "prefill/test_methods.h"

namespace claa {
namespace {

using test::prompt_of;
using test::Script;
using test::TestMethod;

constexpr int64_t kPrompt = 61;

// Softmax over the prompt's keys of one query head.
std::vector<double> attention(Backend& backend, const Tensor& q, const KvView& kv, int64_t head,
                              int64_t group) {
  const int64_t size = kv.k.columns();
  const std::vector<float> query = test::row_of(backend, q, 0, 0);
  std::vector<double> p(kPrompt);
  double sum = 0;
  for (int64_t j = 0; j < kPrompt; ++j) {
    const std::vector<float> key = test::row_of(backend, kv.k, head / group, j);
    const double dot = std::inner_product(key.begin(), key.end(), query.begin() + head * size, 0.0);
    p[usize(j)] = std::exp(dot / std::sqrt(static_cast<double>(size)));
    sum += p[usize(j)];
  }
  for (double& value : p) value /= sum;
  return p;
}

std::vector<double> pooled(const std::vector<double>& row, int64_t kernel) {
  std::vector<double> result(row.size());
  const auto tokens = static_cast<int64_t>(row.size());
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = t - kernel / 2; i <= t + kernel / 2; ++i) {
      if (i >= 0 && i < tokens) result[usize(t)] += row[usize(i)] / static_cast<double>(kernel);
    }
  }
  return result;
}

class LookAhead : public test::PrefillTest {
 protected:
  // All [queries][tokens] maxima over layers and heads, in f64, from keys and queries that decode shows.
  std::vector<double> naive(const std::vector<int32_t>& ids, const std::vector<int32_t>& answer,
                            int64_t kernel, bool pool_first) {
    const std::vector<int32_t> before(ids.begin(), ids.end() - 1);
    PrefillResult prefill = run("full", {}, before);
    Decoder decoder(tiny.model, *prefill.cache);
    std::vector<int32_t> fed{ids.back()};
    fed.insert(fed.end(), answer.begin(), answer.end());
    std::vector<double> mean(kPrompt);
    for (const int32_t token : fed) {
      std::vector<double> best(kPrompt);
      decoder.step(token, [&](int64_t, const Tensor& q, const KvView& kv) {
        const int64_t heads = tiny.model.config().heads, group = heads / tiny.model.config().kv_heads;
        for (int64_t head = 0; head < heads; ++head) {
          std::vector<double> p = attention(*tiny.backend, q, kv, head, group);
          if (pool_first) p = pooled(p, kernel);
          for (size_t j = 0; j < p.size(); ++j) best[j] = std::max(best[j], p[j]);
        }
      });
      for (size_t j = 0; j < best.size(); ++j) mean[j] += best[j] / static_cast<double>(fed.size());
    }
    return pool_first ? mean : pooled(mean, kernel);
  }

  std::vector<float> streamed(const std::vector<int32_t>& ids, const std::vector<int32_t>& answer,
                              const LookAheadSpec& spec) {
    AnswerScores scores(tiny.model.backend(), spec, kPrompt, static_cast<int64_t>(answer.size()) + 1);
    size_t at = 0;
    PrefillOptions options;
    options.reserve = static_cast<int64_t>(answer.size());
    AnswerPass pass(
        {tiny.model, ids, [&](const auto&) { return at < answer.size() ? answer[at++] : -1; }, {&scores}},
        options);
    while (pass.step()) {
    }
    return scores.result();
  }
};

TEST_P(LookAhead, StreamedEqualsNaive) {
  if (GetParam().dtype != DType::kF32) return;  // naive() reads f32; bf16 differs by its rounding alone
  const std::vector<int32_t> ids = prompt_of(kPrompt), answer = {4, 90, 17, 3, 3, 55};
  for (const bool pool_first : {true, false}) {
    for (const int64_t kernel : {1, 7, 13}) {
      LookAheadSpec spec;
      spec.kernel = kernel;
      spec.pool_first = pool_first;
      const std::vector<float> got = streamed(ids, answer, spec);
      const std::vector<double> expected = naive(ids, answer, kernel, pool_first);
      for (size_t j = 0; j < expected.size(); ++j) {
        ASSERT_NEAR(got[j], expected[j], 1e-5)
            << "kernel " << kernel << ", pool first " << pool_first << ", token " << j;
      }
    }
  }
}

TEST_P(LookAhead, StopsAtItsStepsAndAtTheEnd) {
  const std::vector<int32_t> ids = prompt_of(kPrompt);
  // The model's own greedy answer, fed step by step.
  PrefillResult prefill = run("full", {}, ids);
  Decoder decoder(tiny.model, *prefill.cache);
  std::vector<int32_t> answer;
  const std::vector<float>* logits = &prefill.logits;
  for (int i = 0; i < 5; ++i) {
    answer.push_back(
        static_cast<int32_t>(std::max_element(logits->begin(), logits->end()) - logits->begin()));
    logits = &decoder.step(answer.back());
  }
  LookAheadSpec spec;
  spec.steps = 5;
  PrefillOptions options;
  EXPECT_EQ(test::look_ahead(tiny.model, ids, spec, options), streamed(ids, answer, spec));
  // The third token ends the answer and is not fed.
  const int32_t end = answer[2];
  const auto first_end = std::find(answer.begin(), answer.end(), end);
  options.ends_answer = [end](int32_t id) { return id == end; };
  const std::vector<int32_t> shorter(answer.begin(), first_end);
  EXPECT_EQ(test::look_ahead(tiny.model, ids, spec, options), streamed(ids, shorter, spec));
}

TEST_P(LookAhead, ADraftModelLooksAheadUnlessTheModelItselfIsAsked) {
  const std::vector<int32_t> ids = prompt_of(kPrompt);
  test::TinyModel draft(GetParam(), test::tiny_file({}).build(7));
  PrefillOptions options;
  options.drafter = &draft.model;
  LookAheadSpec spec, own;
  own.drafter = false;
  const auto scores_of = [&](const LookAheadSpec& wanted) {
    std::vector<float> seen;
    Script script;
    script.preview_spec = PreviewSpec{.look_ahead = wanted};
    script.entry = [&](std::vector<float> scores) {
      seen = std::move(scores);
      return Entry{};
    };
    run(TestMethod(script), ids, options);
    return seen;
  };
  const std::vector<float> drafted = scores_of(spec), by_model = scores_of(own);
  EXPECT_EQ(drafted, test::look_ahead(draft.model, ids, spec, {}));
  EXPECT_EQ(by_model, test::look_ahead(tiny.model, ids, spec, {}));
  EXPECT_NE(drafted, by_model);
}

CLAA_EVERY_PREFILL_DEVICE(LookAhead);

}  // namespace
}  // namespace claa
