// A decode step as a repeated series, which a device may record and replay, against the same operations one
// by one.
#include "prefill/prefill_support.h"

namespace claa {
namespace {

using test::prompt_of;

class Decode : public test::PrefillTest {
 protected:
  // Logits after each token. With an observer no step is recorded.
  std::vector<std::vector<float>> one_by_one(PrefillResult& prefill, const std::vector<int32_t>& tokens) {
    Decoder decoder(tiny.model, *prefill.cache);
    std::vector<std::vector<float>> logits;
    for (const int32_t token : tokens) {
      logits.push_back(decoder.step(token, [](int64_t, const Tensor&, const KvView&) {}));
    }
    return logits;
  }
  // A prompt with room for few tokens, so that the caches grow, which moves them, in the middle.
  PrefillResult prefill(const std::string& method, const std::vector<int32_t>& ids) {
    PrefillOptions options;
    options.reserve = 5;
    return run(*registry.create(method, {}), ids, options);
  }
};

TEST_P(Decode, RepeatedStepsEqualStepsOneByOne) {
  const std::vector<int32_t> tokens = prompt_of(40, 9);
  for (const MethodInfo& info : registry.all()) {
    SCOPED_TRACE(info.name);
    const std::vector<int32_t> ids = prompt_of(300);
    PrefillResult a = prefill(info.name, ids), b = prefill(info.name, ids);
    EXPECT_EQ(one_by_one(a, tokens), decode(b, tokens));
    expect_same(info.name, a, b);
  }
}

// Two answers whose steps come in turn, and a third whose caches lie where earlier ones lay.
TEST_P(Decode, AnswersDoNotDisturbEachOther) {
  const std::vector<int32_t> tokens = prompt_of(12, 11), first_ids = prompt_of(300),
                             second_ids = prompt_of(200, 6);
  PrefillResult first = prefill("full", first_ids), second = prefill("claa", second_ids);
  const std::vector<std::vector<float>> of_first = one_by_one(first, tokens),
                                        of_second = one_by_one(second, tokens);
  for (int round = 0; round < 3; ++round) {
    PrefillResult a = prefill("full", first_ids), b = prefill("claa", second_ids);
    Decoder left(tiny.model, *a.cache), right(tiny.model, *b.cache);
    for (size_t i = 0; i < tokens.size(); ++i) {
      EXPECT_EQ(left.step(tokens[i]), of_first[i]) << i;
      if (round == 1) {
        EXPECT_EQ(right.step(tokens[i]), of_second[i]) << i;
      }
    }
    if (round == 1) continue;
    for (size_t i = 0; i < tokens.size(); ++i) EXPECT_EQ(right.step(tokens[i]), of_second[i]) << i;
  }
}

// The caches reach over more than one part of the keys.
TEST_P(Decode, LongCaches) {
  const std::vector<int32_t> tokens = prompt_of(10, 13), ids = prompt_of(700);
  PrefillResult a = prefill("full", ids), b = prefill("full", ids);
  EXPECT_EQ(one_by_one(a, tokens), decode(b, tokens));
}

// A step equals a prefill of one token more.
TEST_P(Decode, AStepEqualsALongerPrompt) {
  const std::vector<int32_t> ids = prompt_of(290);
  PrefillResult longer = prefill("full", ids);
  const std::vector<int32_t> shorter_ids(ids.begin(), ids.end() - 6);
  PrefillResult shorter = prefill("full", shorter_ids);
  const std::vector<std::vector<float>> logits = decode(shorter, {ids.end() - 6, ids.end()});
  const float tolerance = GetParam().dtype == DType::kF32 ? 1e-3f : GetParam().int8 ? 0.5f : 0.15f;
  for (size_t i = 0; i < longer.logits.size(); ++i) {
    EXPECT_NEAR(logits.back()[i], longer.logits[i], tolerance) << i;
  }
}

CLAA_EVERY_PREFILL_DEVICE(Decode);

}  // namespace
}  // namespace claa
