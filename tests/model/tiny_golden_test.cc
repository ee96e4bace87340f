// Tiny random models of three styles against transformers (tools/make_tiny_model.py): the whole prompt, a
// subset of its tokens at their original positions, and the subset as a prompt of its own.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <sstream>

#include "claa/registry.h"
#include "paths.h"
#include "prefill/prefill_support.h"
#include "prefill/test_methods.h"

namespace claa {
namespace {

namespace json = boost::json;

struct Case {
  std::string model;
  BackendOptions options;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* model : {"llama3", "mistral", "qwen2"}) {
#ifdef CLAA_TEST_CUDA
    all.push_back({model, {"cuda", DType::kF32, 0, ""}});
#else
    all.push_back({model, {"reference", DType::kF32, 1, ""}});
    all.push_back({model, {"cpu", DType::kF32, 1, ""}});
    all.push_back({model, {"cpu", DType::kF32, 1, "avx2"}});
#endif
  }
  return all;
}

class TinyGolden : public testing::TestWithParam<Case> {
 protected:
  TinyGolden() {
    const std::string stem = test_data("tiny/") + GetParam().model;
    golden = json::parse(read(stem + ".json")).as_object();
    const std::string text = read(stem + ".gguf");
    const auto* data = reinterpret_cast<const std::byte*>(text.data());
    tiny = std::make_unique<test::TinyModel>(GetParam().options,
                                             std::vector<std::byte>(data, data + text.size()));
  }
  static std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    EXPECT_TRUE(in) << path;
    std::ostringstream text;
    text << in.rdbuf();
    return std::move(text).str();
  }
  std::vector<int32_t> ints(const char* name) {
    return json::value_to<std::vector<int32_t>>(golden.at(name));
  }

  void expect_logits(const char* name, const std::vector<float>& got) {
    const auto want = json::value_to<std::vector<double>>(golden.at(name));
    ASSERT_EQ(want.size(), got.size());
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(want[i], got[i], 1e-3) << GetParam().model << ", " << name << ", token " << i;
    }
  }
  PrefillResult run(const Method& method) { return run_prefill(tiny->model, ints("ids"), method, {}); }

  json::object golden;
  std::unique_ptr<test::TinyModel> tiny;
};

TEST_P(TinyGolden, WholePrompt) {
  expect_logits("logits", run(*builtin_methods().create("full", {})).logits);
}

TEST_P(TinyGolden, SubsetAtOriginalPositions) {
  expect_logits("subset_logits", run(test::entry_method(ints("subset"))).logits);
}

TEST_P(TinyGolden, SubsetRenumbered) {
  expect_logits("renumbered_logits", run(test::entry_method(ints("subset"), true)).logits);
}

// The last token decoded after the others is the last token of the prompt.
TEST_P(TinyGolden, DecodeReachesTheSameLogits) {
  const std::vector<int32_t> ids = ints("ids");
  PrefillResult before =
      run_prefill(tiny->model, {ids.data(), ids.size() - 1}, *builtin_methods().create("full", {}), {});
  Decoder decoder(tiny->model, *before.cache);
  expect_logits("logits", decoder.step(ids.back()));
}

INSTANTIATE_TEST_SUITE_P(Models, TinyGolden, testing::ValuesIn(cases()), [](const auto& info) {
  return info.param.model + "_" + test::options_name(info.param.options);
});

}  // namespace
}  // namespace claa
