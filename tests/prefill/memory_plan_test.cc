#include "prefill/memory_plan.h"

#include "model/shapes.h"
#include "prefill/prefill_support.h"

namespace claa {
namespace {

using test::prompt_of;

constexpr size_t kGb = 1'000'000'000;

class MemoryPlanTest : public test::PrefillTest {};

// The answers of inspect without a device are those of the device itself.
TEST_P(MemoryPlanTest, RowsAreThoseOfTheDevice) {
  const DeviceTraits known = device_traits(GetParam()), own = tiny.backend->traits();
  EXPECT_EQ(known.dtype, own.dtype);
  EXPECT_EQ(known.wide, own.wide);
  EXPECT_EQ(known.linear, own.linear);
  EXPECT_EQ(known.chunk_rows, own.chunk_rows);
  for (const int64_t rows : {1, 63, 64, 65, 1000, 4097, 131072}) {
    EXPECT_EQ(known.padded(rows), own.padded(rows));
  }
}

// The plan's cache is the cache.
TEST_P(MemoryPlanTest, CountsTheCache) {
  PrefillOptions options;
  options.reserve = 11;
  PrefillResult result = run(*registry.create("full", {}), prompt_of(61), options);
  const MemoryPlan plan = plan_memory(tiny.model.config(), tiny.backend->traits(), 61, 11);
  EXPECT_EQ(plan.cache, result.cache->bytes());
  EXPECT_GT(plan.workspace, 0u);
  EXPECT_EQ(plan.hidden, size_t{61} * 64 * 4);
}

// The plan's weights are those that were loaded.
TEST_P(MemoryPlanTest, CountsTheWeights) {
  EXPECT_EQ(weight_bytes(tiny.model.config(), GetParam()), tiny.model.weights().bytes());
}

// Memory that is missing is refused before the first layer, and costs nothing: the device goes on.
TEST_P(MemoryPlanTest, ReservesOrRefuses) {
  Backend& backend = *tiny.backend;
  EXPECT_NO_THROW(backend.reserve(size_t{1} << 20));
  if (const size_t free = backend.free_bytes(); free > 0) {
    try {
      backend.reserve(2 * free);
      FAIL() << "twice of what is free was reserved";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    }
  }
  EXPECT_EQ(run(*registry.create("full", {}), prompt_of(61), {}).kept_tokens, 61);
}

CLAA_EVERY_PREFILL_DEVICE(MemoryPlanTest);

// By hand, for Llama 3.1 8B in bf16 on a GPU with 131,072 tokens.
TEST(MemoryPlan, OfAPublishedShape) {
  const ModelConfig& config = find_shape("llama-3.1-8b");
  BackendOptions options;
  options.name = "cuda";
  MemoryPlan plan = plan_memory(config, device_traits(options), 131072, 0);
  plan.weights = weight_bytes(config, options);
  EXPECT_NEAR(static_cast<double>(plan.weights), 16.06e9, 0.01e9);
  EXPECT_EQ(plan.hidden, size_t{131072} * 4096 * 4);
  EXPECT_EQ(plan.layer_kv, size_t{131072} * 2048 * 2);
  EXPECT_EQ(plan.workspace, size_t{16384} * 2 * (4 * 4096 + 3 * 14336));
  EXPECT_EQ(plan.cache, size_t{131072} * 32 * 2048 * 2);
  EXPECT_EQ(plan.total(), plan.weights + plan.hidden + plan.layer_kv + plan.workspace + plan.cache);
  EXPECT_LT(plan.total(), 80 * kGb);
  options.fp8 = true;
  EXPECT_NEAR(static_cast<double>(weight_bytes(config, options)), 9.08e9, 0.01e9);
}

TEST(MemoryPlan, RefusesWithNumbers) {
  MemoryPlan plan;
  plan.weights = 100 * kGb;  // they are in memory already
  plan.hidden = 2 * kGb, plan.layer_kv = kGb, plan.workspace = 3 * kGb, plan.cache = 20 * kGb;
  EXPECT_EQ(plan.prompt(), 26 * kGb);
  EXPECT_NO_THROW(check_memory(plan, 1000, 26 * kGb));
  try {
    check_memory(plan, 1000, 25 * kGb);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_STREQ(
        error.what(),
        "1,000 tokens need 26.00 GB beside the weights (hidden states 2.00, K and V of a layer 1.00, "
        "working set 3.00, cache 20.00), the device has 25.00 GB free; use a shorter prompt, a method "
        "that keeps less or a smaller model");
  }
}

}  // namespace
}  // namespace claa
