#include "paths.h"

namespace claa {

std::string source_file(std::string_view name) {
  return std::string(CLAA_SOURCE_DIR "/") + std::string(name);
}

std::string test_data(std::string_view name) {
  return source_file("tests/data/") + std::string(name);
}

std::string test_model() {
  return source_file("models/SmolLM2-135M-Instruct.Q4_1.gguf");
}

}  // namespace claa
