#include "engine/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/memory.h"
#include "model/shapes.h"

namespace claa {
namespace {

const std::vector<WeightForm> kForms = {{"--dtype bf16 --weights widened", 16'060'000'000},
                                        {"--dtype int8 --weights widened", 8'540'000'000},
                                        {"--dtype bf16 --weights resident", 4'910'000'000}};

std::string refusal(size_t needed, size_t free, const std::vector<WeightForm>& forms) {
  try {
    check_weights_fit("model.gguf", needed, free, [&] { return forms; });
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kOutOfMemory);
    return e.what();
  }
  return "";
}

TEST(WeightsFit, ARefusalNamesTheFormsThatFit) {
  EXPECT_EQ(refusal(16'060'000'000, 10'000'000'000, kForms),
            "model.gguf: its weights need 16.1 GB, 10.0 GB are free; choose --dtype int8 --weights widened "
            "(8.5 GB), "
            "--dtype bf16 --weights resident (4.9 GB)");
  EXPECT_EQ(refusal(16'060'000'000, 4'000'000'000, kForms),
            "model.gguf: its weights need 16.1 GB, 4.0 GB are free; no form of them fits: choose a smaller "
            "model, or a "
            "file of fewer bits");
}

TEST(WeightsFit, WhatFitsOrCannotBeKnownIsNotRefused) {
  EXPECT_EQ(refusal(16'060'000'000, 16'060'000'000, kForms), "");
  EXPECT_EQ(refusal(16'060'000'000, 0, kForms), "");
}

TEST(WeightsFit, FormsAreThoseOfTheDevice) {
  const ModelConfig& config = find_shape("llama-3.1-8b");
  std::vector<std::string> names;
  for (const char* device : {"cpu", "cuda", "reference"}) {
    BackendOptions options;
    options.name = device;
    for (const WeightForm& form : weight_forms(config, options, nullptr)) {
      names.push_back(std::string(device) + " " + form.options);
      EXPECT_GT(form.bytes, size_t{7} << 30) << names.back();
    }
  }
  EXPECT_THAT(
      names, testing::ElementsAre("cpu --dtype f32 --weights widened", "cpu --dtype bf16 --weights widened",
                                  "cpu --dtype int8 --weights widened", "cuda --dtype f32 --weights widened",
                                  "cuda --dtype bf16 --weights widened", "cuda --dtype fp8 --weights widened",
                                  "reference --dtype f32 --weights widened",
                                  "reference --dtype bf16 --weights widened"));
}

TEST(WeightsFit, TheMachineHasMemory) {
  EXPECT_GT(available_memory(), size_t{64} << 20);
  EXPECT_LT(available_memory(), size_t{1} << 50);
}

}  // namespace
}  // namespace claa
