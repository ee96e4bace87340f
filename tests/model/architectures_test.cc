// The architectures that this build runs, beside the Llama family (whose goldens are those of the methods):
// tiny random models against transformers.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>

#include "golden_model.h"
#include "model/shapes.h"
#include "prefill/memory_plan.h"

namespace claa {
namespace {

using Parameters = std::tuple<const char*, BackendOptions>;

constexpr std::array kNames{"llama",   "qwen3",        "gemma2",         "gemma3",   "mistral3",
                            "smollm3", "granite",      "seed_oss",       "olmo2",    "olmo3",
                            "exaone4", "phi3",         "phi3_short",     "qwen3moe", "gpt-oss",
                            "gemma4",  "gemma4_small", "gemma4_experts", "qwen35",   "qwen35moe"};

class Architectures : public testing::TestWithParam<Parameters> {
 protected:
  const test::GoldenModel golden{std::string("architectures/") + std::get<0>(GetParam()), architectures(),
                                 std::get<1>(GetParam())};
};

TEST_P(Architectures, WholePrompt) {
  golden.expect_prompt();
}
TEST_P(Architectures, Answer) {
  golden.expect_answer();
}
TEST_P(Architectures, FewTokensEnter) {
  golden.expect_few_entering();
}
TEST_P(Architectures, Drop) {
  golden.expect_drop();
}

// Rankers choose after layers that see the whole prompt, by default and by name.
TEST_P(Architectures, EveryMethodKeepsItsBudget) {
  const MethodRegistry methods = builtin_methods();
  for (const MethodInfo& info : methods.all()) {
    if (info.name == "full") continue;
    const PrefillResult result = golden.run(*info.create({{"keep_tokens", "30"}}));
    EXPECT_TRUE(result.report.active) << info.name;
    if (const auto layer = result.report.selection_layer) {
      EXPECT_EQ(golden.config.spec(*layer).window, 0) << info.name;
      EXPECT_EQ(result.kept_tokens, 30) << info.name;
    }
  }
}

// Where nothing is dropped the logits are those of `full`, bit for bit.
TEST_P(Architectures, RateOneIsFull) {
  const MethodRegistry methods = builtin_methods();
  const std::vector<float> full = golden.run(*methods.create("full", {})).logits;
  for (const MethodInfo& info : methods.all()) {
    if (info.name == "full") continue;
    const PrefillResult result = golden.run(*info.create({{"keep", "1"}}));
    EXPECT_EQ(result.logits, full) << info.name;
    EXPECT_FALSE(result.report.active) << info.name;
  }
}

TEST_P(Architectures, TableServesRandomWeightsAndThePlan) {
  const ModelWeights random = random_weights(golden.config, *golden.backend);
  EXPECT_EQ(random.bytes(), golden.model.weights().bytes());
  EXPECT_EQ(random.bytes(), weight_bytes(golden.config, std::get<1>(GetParam())));
}

#ifndef CLAA_TEST_CUDA
// Types that round: the logits of tiny random models move, yet point the same way.
TEST(RoundedTypes, LogitsPointWhereThoseOfF32Do) {
  for (const char* name : kNames) {
    for (const bool int8 : {false, true}) {
      BackendOptions options{"cpu", DType::kBF16, 2, ""};
      options.int8 = int8;
      const test::GoldenModel golden(std::string("architectures/") + name, architectures(), options);
      const auto want = boost::json::value_to<std::vector<double>>(golden.golden.at("logits"));
      const std::vector<float> got = golden.run(*builtin_methods().create("full", {})).logits;
      double products = 0, wants = 0, gots = 0;
      for (size_t i = 0; i < want.size(); ++i) {
        products += want[i] * got[i], wants += want[i] * want[i];
        gots += static_cast<double>(got[i]) * got[i];
      }
      EXPECT_GT(products / std::sqrt(wants * gots), int8 ? 0.98 : 0.999)
          << name << (int8 ? " int8" : " bf16");
    }
  }
}
#endif

INSTANTIATE_TEST_SUITE_P(All, Architectures,
                         testing::Combine(testing::ValuesIn(kNames),
                                          testing::ValuesIn(test::golden_devices())),
                         [](const auto& info) {
                           std::string name = std::get<0>(info.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name + "_" + test::options_name(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace claa
