// Any bytes either are a safetensors file, whose tensors then can be named and read to the end, or are
// refused with an Error that blames the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "claa/error.h"
#include "folder/tensors.h"
#include "gguf/quants.h"

namespace {

claa::ModelSettings settings() {
  claa::ModelSettings settings;
  settings.shifted_norms = true;
  settings.scale_rows = 2;
  settings.scale_columns = 3;
  settings.left_out = {"vision_tower."};
  settings.layer_names = {{"mlp.up_proj", "ffn_up"}, {"input_layernorm", "attn_norm"}};
  settings.experts = 2;
  settings.expert_names = {{"up_proj", "ffn_up_exps"}};
  return settings;
}

// Keeps the reads from being optimised away.
volatile float sink = 0;

void read_all(std::span<const std::byte> bytes) {
  static const claa::ModelSettings kSettings = settings();
  claa::TensorMemory memory;
  const auto tensors = claa::parse_safetensors(bytes, "fuzz.safetensors");
  for (const claa::gguf::TensorInfo& tensor : claa::name_tensors(tensors, kSettings, "fuzz", memory)) {
    if (tensor.elements() > 65536) continue;
    std::vector<float> values(tensor.elements());
    claa::gguf::dequantize_rows(tensor, 0, values);
    for (const float value : values) sink = value;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    read_all(std::as_bytes(std::span(data, size)));
  } catch (const claa::Error& error) {
    const bool blames_the_file =
        error.code() == claa::ErrorCode::kCorruptFile || error.code() == claa::ErrorCode::kUnsupported;
    if (!blames_the_file) std::abort();
  }
  return 0;
}
