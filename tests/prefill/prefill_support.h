// Helpers that the prefill tests share: devices, prompts, runs and their comparison.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "claa/ranker.h"
#include "conformance/devices.h"
#include "core/usize.h"
#include "prefill/decoder.h"
#include "prefill/runner.h"
#include "prefill/tiny_model.h"

namespace claa {
void register__template(MethodRegistry& registry);  // src/prefill/methods/_template.cc
void register_toy(MethodRegistry& registry);        // toy_method.cc
}  // namespace claa

namespace claa::test {

// A method under another name and with other defaults, so that every promise is checked for those too.
class Variant : public Method {
 public:
  Variant(std::string name, std::unique_ptr<Method> method)
      : name_(std::move(name)), method_(std::move(method)) {}
  const std::string& name() const override { return name_; }
  std::vector<std::pair<std::string, std::string>> params() const override { return method_->params(); }
  std::unique_ptr<Run> start(const PromptInfo& prompt) const override { return method_->start(prompt); }

 private:
  std::string name_;
  std::unique_ptr<Method> method_;
};

inline void add_variant(MethodRegistry& registry, const std::string& name, const std::string& of,
                        const ParamValues& defaults) {
  MethodInfo info = registry.find(of);
  for (ParamSpec& spec : info.params) {
    if (const auto found = defaults.find(spec.name); found != defaults.end())
      spec.default_value = found->second;
  }
  info.name = name;
  info.create = [name, defaults, create = info.create](ParamValues values) -> std::unique_ptr<Method> {
    values.insert(defaults.begin(), defaults.end());
    try {
      return std::make_unique<Variant>(name, create(values));
    } catch (const Error& error) {
      throw Error(error.code(), name + ": " + error.what());
    }
  };
  registry.add(info);
}

// The built-in methods, claa with chosen heads, also choosing twice, the template that newcomers copy, and a
// method made from it.
inline MethodRegistry registry_with_newcomers() {
  MethodRegistry registry = builtin_methods();
  add_variant(registry, "claa_heads", "claa", {{"heads", "0.1,1.3*2,2.0*0.5"}, {"first_layer", "0"}});
  add_variant(registry, "claa_look_ahead", "claa",
              {{"heads", "0.1,1.3*2,2.0*0.5"}, {"first_layer", "1"}, {"look_ahead", "3"}});
  register__template(registry);
  register_toy(registry);
  return registry;
}

inline std::vector<int32_t> prompt_of(int64_t tokens, uint64_t seed = 5, int32_t vocabulary = 97) {
  std::mt19937_64 random(seed);
  std::vector<int32_t> ids(usize(tokens));
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(vocabulary));
  return ids;
}

// One thread each: such small models spend their time waiting for threads, above all when tests run side by
// side.
inline const std::vector<BackendOptions>& prefill_devices() {
#ifdef CLAA_TEST_CUDA
  static const std::vector<BackendOptions> devices = {{"cuda", DType::kF32, 0, ""},
                                                      {"cuda", DType::kBF16, 0, ""}};
#else
  BackendOptions int8{"cpu", DType::kBF16, 1, ""};
  int8.int8 = true;
  static const std::vector<BackendOptions> devices = [&] {
    std::vector<BackendOptions> listed = {int8,
                                          {"cpu", DType::kF32, 1, ""},
                                          {"cpu", DType::kBF16, 1, ""},
                                          {"cpu", DType::kBF16, 1, "avx2"},
                                          {"cpu", DType::kBF16, 1, "avx512"},
                                          {"cpu", DType::kBF16, 1, "avx2bf16"},
                                          {"reference", DType::kF32, 1, ""},
                                          {"reference", DType::kBF16, 1, ""}};
    std::erase_if(listed, [](const BackendOptions& options) { return !is_a_device_of_its_own(options); });
    return listed;
  }();
#endif
  return devices;
}
inline std::string options_name(const BackendOptions& options) {
  return options.name + "_" + (options.int8 ? "int8" : dtype_name(options.dtype)) +
         (options.isa.empty() ? "" : "_" + options.isa);
}

// One model per device and process: building it costs more than most tests.
inline TinyModel& tiny_on(const BackendOptions& options) {
  static std::map<std::string, std::unique_ptr<TinyModel>> models;
  auto& model = models[options_name(options)];
  if (model == nullptr) model = std::make_unique<TinyModel>(options);
  return *model;
}

// A look-ahead from beginning to end.
inline std::vector<float> look_ahead(const Model& model, std::span<const int32_t> ids,
                                     const LookAheadSpec& spec, const PrefillOptions& options) {
  LookAheadPass pass(model, ids, spec, options);
  while (pass.step()) {
  }
  return pass.result();
}

// Values of one row of a tensor of the model's device.
inline std::vector<float> row_of(Backend& backend, const Tensor& t, int64_t plane, int64_t row) {
  std::vector<float> values(usize(t.columns()));
  const size_t bytes = values.size() * dtype_bytes(t.dtype);
  if (t.dtype == DType::kF32) {
    backend.download(t.ptr<float>(plane, row), bytes, values.data());
    return values;
  }
  std::vector<Bf16> rounded(values.size());
  backend.download(t.ptr<Bf16>(plane, row), bytes, rounded.data());
  std::transform(rounded.begin(), rounded.end(), values.begin(), [](Bf16 value) { return to_float(value); });
  return values;
}

class PrefillTest : public testing::TestWithParam<BackendOptions> {
 protected:
  PrefillTest() : tiny(tiny_on(GetParam())), registry(registry_with_newcomers()) {}

  PrefillResult run(const Method& method, const std::vector<int32_t>& ids,
                    const PrefillOptions& options = {}) {
    return run_prefill(tiny.model, ids, method, options);
  }
  PrefillResult run(const std::string& name, const ParamValues& params, const std::vector<int32_t>& ids) {
    return run(*registry.create(name, params), ids);
  }
  // Logits after each of the given tokens.
  std::vector<std::vector<float>> decode(PrefillResult& prefill, const std::vector<int32_t>& tokens) {
    Decoder decoder(tiny.model, *prefill.cache);
    std::vector<std::vector<float>> logits;
    for (const int32_t token : tokens) logits.push_back(decoder.step(token));
    return logits;
  }
  static bool has(const MethodInfo& info, const std::string& param) {
    return std::any_of(info.params.begin(), info.params.end(),
                       [&](const ParamSpec& s) { return s.name == param; });
  }
  // Methods with a budget, which all take `keep`.
  std::vector<std::string> selective() const {
    std::vector<std::string> names;
    for (const MethodInfo& info : registry.all()) {
      if (has(info, "keep")) names.push_back(info.name);
    }
    return names;
  }

  // K, then V, of one slot.
  std::vector<float> cache_row(KvCache& cache, int64_t layer, int64_t head, int64_t slot) const {
    const KvView view = cache.view(layer);
    std::vector<float> row = row_of(*tiny.backend, view.k, head, slot);
    const std::vector<float> v = row_of(*tiny.backend, view.v, head, slot);
    row.insert(row.end(), v.begin(), v.end());
    return row;
  }
  // Compares all of two results: logits, reports, and the caches' lengths, positions and stored values.
  void expect_same(const std::string& what, PrefillResult& a, PrefillResult& b) const;

  TinyModel& tiny;
  MethodRegistry registry;
};

inline void PrefillTest::expect_same(const std::string& what, PrefillResult& a, PrefillResult& b) const {
  EXPECT_EQ(a.logits, b.logits) << what;
  EXPECT_EQ(a.selected, b.selected) << what;
  EXPECT_EQ(a.kept_tokens, b.kept_tokens) << what;
  EXPECT_EQ(a.cache->next_position, b.cache->next_position) << what;
  EXPECT_EQ(a.report.active, b.report.active) << what;
  EXPECT_EQ(a.report.scores, b.report.scores) << what;
  ASSERT_EQ(a.layers.size(), b.layers.size()) << what;
  for (int64_t layer = 0; layer < a.cache->layers(); ++layer) {
    EXPECT_EQ(a.layers[usize(layer)].live, b.layers[usize(layer)].live) << what;
    ASSERT_EQ(a.cache->prompt_positions(layer), b.cache->prompt_positions(layer))
        << what << ", layer " << layer;
    ASSERT_EQ(a.cache->length(layer), b.cache->length(layer)) << what << ", layer " << layer;
    for (int64_t slot = 0; slot < a.cache->length(layer); ++slot) {
      for (const int64_t head : {0, 1}) {
        ASSERT_EQ(cache_row(*a.cache, layer, head, slot), cache_row(*b.cache, layer, head, slot))
            << what << ", layer " << layer << ", slot " << slot;
      }
    }
  }
}

#define CLAA_EVERY_PREFILL_DEVICE(Suite)                                               \
  INSTANTIATE_TEST_SUITE_P(Devices, Suite, testing::ValuesIn(test::prefill_devices()), \
                           [](const auto& info) { return test::options_name(info.param); })

}  // namespace claa::test
