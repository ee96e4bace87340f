// What reading a model file that is wrong in one thing throws.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "model/config.h"
#include "prefill/tiny_model.h"

namespace claa::test {

inline ModelConfig config_of(const TinyFile& file) {
  const std::vector<std::byte> bytes = file.build();
  return read_config(gguf::File::parse(bytes, "tiny.gguf"));
}

// The error of reading the configuration and, if that succeeds, the weights.
struct Refusal {
  ErrorCode code = ErrorCode::kInternal;
  std::string message = "nothing was thrown";
};
inline Refusal refusal(const TinyFile& file) {
  try {
    const std::vector<std::byte> bytes = file.build();
    const gguf::File parsed = gguf::File::parse(bytes, "tiny.gguf");
    const ModelConfig config = read_config(parsed);
    const auto backend = make_backend({"reference", DType::kF32, 1, ""});
    load_weights(parsed, config, *backend);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

inline void expect_refused(const TinyFile& file, ErrorCode code, const std::string& part) {
  const Refusal seen = refusal(file);
  EXPECT_EQ(error_code_name(seen.code), std::string(error_code_name(code))) << seen.message;
  EXPECT_THAT(seen.message, testing::AllOf(testing::HasSubstr("tiny.gguf"), testing::HasSubstr(part)));
}

}  // namespace claa::test
