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

using claa::PartForm;

constexpr claa::PartRule kRules[] = {{"same", PartForm::kSame, "same"},
                                     {"numbers", PartForm::kNumbers, "numbers"},
                                     {"decay", PartForm::kDecay, "decay"},
                                     {"heads", PartForm::kHeads, "heads"},
                                     {"rows", PartForm::kHeadRows, "rows"},
                                     {"mixed", PartForm::kRowsBehindKeys, "mixed"},
                                     {"columns", PartForm::kHeadColumns, "columns"},
                                     {"halves", PartForm::kHalves, "h1", "h2"},
                                     {"other", PartForm::kEveryOther, "o1", "o2"},
                                     {"turned", PartForm::kTransposed, "turned"},
                                     {"turn", PartForm::kTransposedInTurn, "t1", "t2"},
                                     {"packed_blocks", PartForm::kMxfp4, "packed"},
                                     {"pair_blocks", PartForm::kMxfp4InTurn, "p1", "p2"}};

claa::ModelSettings settings() {
  claa::ModelSettings settings;
  settings.shifted_norms = true;
  settings.scale_rows = 2;
  settings.scale_columns = 3;
  settings.left_out = {"vision_tower."};
  settings.layer_names = {{"mlp.up_proj", "ffn_up"}, {"input_layernorm", "attn_norm"}};
  settings.experts = 2;
  settings.expert_names = {{"up_proj", "ffn_up_exps"}};
  settings.rules = kRules;
  settings.heads = {2, 4, 2};
  settings.expert_scales = true;
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
