// Scales that are tensors of their own multiply the tensor that they belong to, in every form of a weight.
#include <gtest/gtest.h>

#include "golden_model.h"
#include "prefill/tiny_model.h"

namespace claa {
namespace {

std::vector<float> logits_of(const test::TinyFile& tiny, const BackendOptions& options) {
  const std::vector<std::byte> bytes = tiny.build();
  const gguf::File file = gguf::File::parse(bytes, "tiny.gguf");
  const ModelConfig config = read_config(file);
  const auto backend = make_backend(options);
  const Model model(config, load_weights(file, config, *backend), *backend);
  const std::vector<int32_t> ids = {1, 5, 9, 2, 60};
  return run_prefill(model, ids, *builtin_methods().create("full", {}), {}).logits;
}

TEST(LoadWeights, MultipliesByTheScalesOfTensors) {
  std::vector<BackendOptions> devices = test::golden_devices();
  devices.push_back({"cpu", DType::kBF16, 1, ""});
  for (const BackendOptions& options : devices) {
    test::TinyFile file = test::tiny_file();
    const std::vector<float> plain = logits_of(file, options);
    file.numbers["output.scale"] = 0.5f;
    const std::vector<float> halved = logits_of(file, options);
    for (size_t i = 0; i < plain.size(); ++i) ASSERT_EQ(halved[i], 0.5f * plain[i]) << i;
    // Of one of two tensors that make one matrix: keys and values apart.
    file.numbers.clear();
    file.numbers["blk.2.attn_v.scale"] = 4.0f;
    file.numbers["blk.2.attn_output.scale"] = 0.25f;
    const std::vector<float> undone = logits_of(file, options);
    for (size_t i = 0; i < plain.size(); ++i) ASSERT_NEAR(undone[i], plain[i], 1e-5f) << i;
    file.numbers.erase("blk.2.attn_output.scale");
    EXPECT_NE(logits_of(file, options), plain);
  }
}

}  // namespace
}  // namespace claa
