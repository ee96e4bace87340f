// Promise 1: a keep rate of 1 gives bit for bit the logits of full, for every method, on the real model.
#include <gtest/gtest.h>

#include "claa/engine.h"
#include "claa/registry.h"
#include "paths.h"

namespace claa {
namespace {

const std::string kModel = test_model();

void check(const std::string& device, const std::string& dtype, int64_t tokens) {
  EngineOptions options;
  options.device = device;
  options.dtype = dtype;
  options.profile = "none";
  Engine engine = Engine::load(kModel, options);
  Request request;
  for (int64_t i = 0; i < tokens; ++i) request.ids.push_back(static_cast<int32_t>(100 + 37 * i % 40000));
  request.max_tokens = 3;
  const Trace full = engine.trace(request, 49152);
  const MethodRegistry registry = builtin_methods();
  int compared = 0;
  for (const MethodInfo& method : registry.all()) {
    if (method.name == "full") continue;
    request.method = method.name;
    request.params = {{"keep", "1"}};
    const Trace trace = engine.trace(request, 49152);
    EXPECT_EQ(trace.top, full.top) << method.name;
    EXPECT_EQ(trace.answer.tokens, full.answer.tokens) << method.name;
    EXPECT_FALSE(trace.answer.prefill.active) << method.name;
    EXPECT_FALSE(trace.answer.prefill.reason.empty()) << method.name;
    ++compared;
  }
  EXPECT_GE(compared, 3);
}

#ifdef CLAA_TEST_CUDA
TEST(RateOne, EqualsFullOnCuda) {
  check("cuda", "f32", 300);
  check("cuda", "bf16", 300);
}
#else
TEST(RateOne, EqualsFullOnCpu) {
  check("cpu", "f32", 300);
  check("cpu", "bf16", 300);
}

TEST(RateOne, EqualsFullOnReference) {
  check("reference", "f32", 11);
}
#endif

}  // namespace
}  // namespace claa
