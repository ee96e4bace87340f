// Scales that are tensors of their own multiply the tensor that they belong to, in every form of a weight.
#include <gtest/gtest.h>

#include "golden_model.h"
#include "prefill/memory_plan.h"
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

#ifndef CLAA_TEST_CUDA
// Matrices of one scale each, or one per expert, may stay blocks.
void expect_resident(const test::TinyFile& file) {
  BackendOptions options{"cpu", DType::kF32, 2, ""};
  const std::vector<int32_t> ids = {1, 5, 9, 2, 60};
  const auto full = builtin_methods().create("full", {});
  const test::TinyModel widened(options, file.build());
  options.resident = true;
  const test::TinyModel resident(options, file.build());
  const ModelWeights& weights = resident.model.weights();
  EXPECT_EQ(weights.resident_bytes(), weights.bytes());
  EXPECT_EQ(weight_bytes(read_config(resident.file), options, &resident.file), weights.bytes());
  EXPECT_EQ(run_prefill(resident.model, ids, *full, {}).logits,
            run_prefill(widened.model, ids, *full, {}).logits);
}

TEST(LoadWeights, KeepsBlocksWithTheScalesOfTensors) {
  test::TinyFile file = test::tiny_file();
  file.bf16 = true;
  file.numbers["output.scale"] = 0.5f;
  file.numbers["blk.2.attn_v.scale"] = 3.7f;
  expect_resident(file);
}

TEST(LoadWeights, KeepsBlocksWithTheScalesOfExperts) {
  test::TinyFile file = test::tiny_file({"qwen3moe", 2});
  file.bf16 = true;
  file.metadata["qwen3moe.expert_count"] = uint32_t{4};
  file.metadata["qwen3moe.expert_used_count"] = uint32_t{2};
  file.metadata["qwen3moe.expert_feed_forward_length"] = uint32_t{32};
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* dense : {"ffn_gate", "ffn_up", "ffn_down"})
      file.tensors.erase(layer + dense + ".weight");
    file.tensors[layer + "attn_q_norm.weight"] = file.tensors[layer + "attn_k_norm.weight"] = {16};
    file.tensors[layer + "ffn_gate_inp.weight"] = {64, 4};
    file.tensors[layer + "ffn_gate_exps.weight"] = file.tensors[layer + "ffn_up_exps.weight"] = {64, 32, 4};
    file.tensors[layer + "ffn_down_exps.weight"] = {32, 64, 4};
    file.tensors[layer + "ffn_up_exps.scale"] = {4};  // different numbers
  }
  expect_resident(file);
}
#endif

}  // namespace
}  // namespace claa
