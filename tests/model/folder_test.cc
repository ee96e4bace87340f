// Folders as transformers saves them: the models of architectures_test.cc have the same logits from these.
#include "folder/folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "golden_model.h"

namespace claa {
namespace {

using Parameters = std::tuple<const char*, BackendOptions>;

class Folders : public testing::TestWithParam<Parameters> {
 protected:
  const std::string path = std::string("architectures/") + std::get<0>(GetParam());
  const test::GoldenModel golden{open_model(test_data(path)), path, architectures(), std::get<1>(GetParam())};
};

TEST_P(Folders, WholePrompt) {
  golden.expect_prompt();
}
TEST_P(Folders, Answer) {
  golden.expect_answer();
}
TEST_P(Folders, Drop) {
  golden.expect_drop();
}

// Every number that the model is made of is that of its GGUF file.
TEST_P(Folders, SaysWhatTheGgufFileSays) {
  const ModelConfig folder = golden.config, file = read_config(gguf::File::open(test_data(path + ".gguf")));
  EXPECT_EQ(folder.architecture, file.architecture);
  EXPECT_EQ(folder.layers, file.layers);
  EXPECT_EQ(folder.ffn, file.ffn);
  EXPECT_EQ(folder.vocabulary, file.vocabulary);
  EXPECT_EQ(folder.context, file.context);
  EXPECT_EQ(folder.norm_eps, file.norm_eps);
  EXPECT_EQ(folder.tied_output, file.tied_output);
  ASSERT_EQ(folder.ropes.size(), file.ropes.size());
  for (size_t i = 0; i < file.ropes.size(); ++i) {
    EXPECT_FALSE(folder.ropes[i].interleaved);
    EXPECT_EQ(folder.ropes[i].base, file.ropes[i].base);
    EXPECT_EQ(folder.ropes[i].rotated, file.ropes[i].rotated);
    EXPECT_EQ(folder.ropes[i].frequency_factors, file.ropes[i].frequency_factors);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Folders,
                         testing::Combine(testing::Values("llama", "qwen3", "gemma2", "gemma3", "mistral3",
                                                          "smollm3", "granite", "seed_oss", "olmo2", "olmo3",
                                                          "exaone4", "phi3", "qwen3moe", "gpt-oss",
                                                          "gpt-oss-mxfp4", "qwen35", "qwen35moe",
                                                          "gemma4_small", "gemma4_experts"),
                                          testing::ValuesIn(test::golden_devices())),
                         [](const auto& info) {
                           std::string name = std::get<0>(info.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name + "_" + test::options_name(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace claa
