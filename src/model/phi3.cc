// Phi 3, 3.5 and 4: as Llama, with Q, K and V in one tensor and gate and up in another, and LongRoPE (arXiv
// 2402.13753): prompts beyond the original context turn by other frequencies.
#include "core/check.h"
#include "model/architectures.h"
#include "model/dense.h"

namespace claa {
namespace {

constexpr const char* kShort = "rope_factors_short.weight";
constexpr const char* kLong = "rope_factors_long.weight";

void read_long_rope(const gguf::File& file, const Metadata& metadata, RopeConfig& rope) {
  rope.frequency_factors = read_frequency_factors(file, kShort, rope.rotated / 2);
  rope.long_factors = read_frequency_factors(file, kLong, rope.rotated / 2);
  if (rope.frequency_factors.empty() != rope.long_factors.empty()) {
    fail(ErrorCode::kCorruptFile, "{}: only one of the tensors {} and {} is there; convert the model anew",
         file.name(), kShort, kLong);
  }
  if (rope.long_factors.empty()) return;
  rope.scaling = RopeScaling::kLong;
  rope.original_context =
      static_cast<double>(metadata.required("rope.scaling.original_context_length", 1 << 27));
}

void describe_phi3(const gguf::File& file, ModelConfig& config) {
  const Metadata metadata(file, config.architecture);
  describe_dense(file, config, /*interleaved=*/false);
  read_long_rope(file, metadata, config.ropes.front());
  // A window in every layer, or, where it is zero or missing, in none.
  if (!has_windows(file, config)) return;
  const int64_t window = metadata.required("attention.sliding_window", 1 << 27);
  if (window >= config.context) return;
  for (LayerSpec& layer : config.specs) layer.window = window;
}

}  // namespace

const Architecture kPhi3{"phi3", describe_phi3, dense_model_weights, dense_layer_weights, {kShort, kLong}};

}  // namespace claa
