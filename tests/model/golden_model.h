// A small model file, and the logits that another implementation has for it (tools/make_toy_model.py,
// tools/make_architecture_models.py), on one device.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "claa/registry.h"
#include "model/model.h"
#include "paths.h"
#include "prefill/decoder.h"
#include "prefill/prefill_support.h"
#include "prefill/test_methods.h"

namespace claa::test {

inline std::string read_test_data(const std::string& name) {
  std::ifstream in(test_data(name), std::ios::binary);
  EXPECT_TRUE(in) << name;
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

inline std::vector<BackendOptions> golden_devices() {
#ifdef CLAA_TEST_CUDA
  return {{"cuda", DType::kF32, 0, ""}};
#else
  return {{"reference", DType::kF32, 1, ""}, {"cpu", DType::kF32, 2, ""}, {"cpu", DType::kF32, 1, "avx2"}};
#endif
}

class GoldenModel {
 public:
  // The files PATH.gguf and PATH.json of tests/data.
  GoldenModel(const std::string& path, std::span<const Architecture* const> known,
              const BackendOptions& options)
      : GoldenModel(gguf::File::open(test_data(path + ".gguf")), path, known, options) {}
  // The file, and its goldens in PATH.json.
  GoldenModel(gguf::File opened, const std::string& path, std::span<const Architecture* const> known,
              const BackendOptions& options)
      : file(std::move(opened)),
        config(read_config(file, known)),
        backend(make_backend(options)),
        model(config, load_weights(file, config, *backend), *backend),
        golden(boost::json::parse(read_test_data(path + ".json")).as_object()) {}

  std::vector<int32_t> ints(const char* name) const {
    return boost::json::value_to<std::vector<int32_t>>(golden.at(name));
  }
  PrefillResult run(const Method& method) const { return run_prefill(model, ints("ids"), method, {}); }

  void expect_logits(const char* name, const std::vector<float>& got) const {
    const auto want = boost::json::value_to<std::vector<double>>(golden.at(name));
    ASSERT_EQ(want.size(), got.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(want[i], got[i], 1e-3) << name << ", token " << i;
  }

  // Of the whole prompt.
  void expect_prompt() const { expect_logits("logits", run(*builtin_methods().create("full", {})).logits); }

  // Twenty tokens, more than a window holds: its first slot moves from the prompt into the answer.
  void expect_answer() const {
    PrefillResult result = run(*builtin_methods().create("full", {}));
    Decoder decoder(model, *result.cache);
    std::vector<float> logits;
    for (const int32_t token : ints("answer")) logits = decoder.step(token);
    expect_logits("answer_logits", logits);
  }

  // Windows are by position: of the tokens that entered, each sees those of the last positions.
  void expect_few_entering() const {
    expect_logits("entry_logits", run(entry_method(ints("survivors"))).logits);
  }

  // The golden drops tokens behind a layer: it needs nothing of the layer's second half for those that go.
  void expect_drop() const {
    Script script;
    const std::vector<int32_t> survivors = ints("survivors");
    const int layer = boost::json::value_to<int>(golden.at("drop_layer"));
    script.decide = [&](LayerView& view) {
      Decision decision;
      decision.kept = KeepSet{};
      if (view.layer() == layer) decision.live = view.keep(survivors);
      return decision;
    };
    expect_logits("drop_logits", run(TestMethod(script)).logits);
  }

  const gguf::File file;
  const ModelConfig config;
  const std::unique_ptr<Backend> backend;
  const Model model;
  const boost::json::object golden;
};

}  // namespace claa::test
