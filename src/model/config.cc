#include "model/config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "core/check.h"
#include "gguf/quants.h"

namespace claa {
namespace {

struct Architecture {
  std::string_view name;
  bool interleaved_rope;
};
constexpr std::array<Architecture, 3> kArchitectures{{{"llama", true}, {"mistral", true}, {"qwen2", false}}};

// Reads "<architecture>.<key>" with limits.
class Reader {
 public:
  Reader(const gguf::File& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  int64_t required(std::string_view key, int64_t maximum) const {
    const auto value = file_.get_uint(full(key));
    if (!value) fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' is missing", file_.name(), full(key));
    return limited(key, *value, maximum);
  }
  int64_t optional(std::string_view key, int64_t fallback, int64_t maximum) const {
    const auto value = file_.get_uint(full(key));
    return value ? limited(key, *value, maximum) : fallback;
  }
  double number(std::string_view key, double fallback) const {
    return file_.get_float(full(key)).value_or(fallback);
  }
  std::string text(std::string_view key) const {
    return std::string(file_.get_string(full(key)).value_or(""));
  }

 private:
  std::string full(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
  int64_t limited(std::string_view key, uint64_t value, int64_t maximum) const {
    if (value < 1 || value > static_cast<uint64_t>(maximum)) {
      fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' is {}, outside 1..{}", file_.name(), full(key),
           value, maximum);
    }
    return static_cast<int64_t>(value);
  }
  const gguf::File& file_;
  std::string prefix_;
};

const Architecture& find_architecture(const gguf::File& file, const std::string& name) {
  for (const Architecture& known : kArchitectures) {
    if (known.name == name) return known;
  }
  std::vector<std::string_view> names;
  for (const Architecture& known : kArchitectures) names.push_back(known.name);
  fail(ErrorCode::kUnsupported, "{}: architecture '{}' is not supported; this build runs {}", file.name(),
       name, fmt::join(names, ", "));
}

void read_rope_scaling(const gguf::File& file, const Reader& reader, RopeConfig& rope) {
  const std::string type = reader.text("rope.scaling.type");
  rope.factor = reader.number("rope.scaling.factor", reader.number("rope.scale_linear", 1));
  rope.original_context = reader.number("rope.scaling.original_context_length", 0);
  rope.attention_factor = reader.number("rope.scaling.attn_factor", 0);
  rope.beta_fast = reader.number("rope.scaling.yarn_beta_fast", rope.beta_fast);
  rope.beta_slow = reader.number("rope.scaling.yarn_beta_slow", rope.beta_slow);
  if (!(rope.factor > 0) || !(rope.base > 1) || !std::isfinite(rope.factor) || !std::isfinite(rope.base)) {
    fail(ErrorCode::kCorruptFile, "{}: rope factor {} and base {} must be positive and finite", file.name(),
         rope.factor, rope.base);
  }
  if (type == "linear" || (type.empty() && rope.factor != 1)) {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
    if (!(rope.original_context > 0)) {
      fail(ErrorCode::kCorruptFile, "{}: yarn scaling needs rope.scaling.original_context_length",
           file.name());
    }
  } else if (!type.empty() && type != "none") {
    fail(ErrorCode::kUnsupported,
         "{}: rope scaling '{}' is not supported; this build runs none, linear, yarn and the "
         "frequency factors of Llama 3",
         file.name(), type);
  }
}

void read_frequency_factors(const gguf::File& file, RopeConfig& rope) {
  const gguf::TensorInfo* tensor = file.find_tensor("rope_freqs.weight");
  if (tensor == nullptr) return;
  if (tensor->type != gguf::TensorType::kF32 ||
      tensor->elements() != static_cast<uint64_t>(rope.rotated / 2)) {
    fail(ErrorCode::kCorruptFile, "{}: rope_freqs.weight must be {} f32 values", file.name(),
         rope.rotated / 2);
  }
  rope.frequency_factors.resize(static_cast<size_t>(tensor->elements()));
  gguf::dequantize(tensor->type, tensor->data, rope.frequency_factors);
  for (const float factor : rope.frequency_factors) {
    if (!(factor > 0)) fail(ErrorCode::kCorruptFile, "{}: rope_freqs.weight holds {}", file.name(), factor);
  }
}

}  // namespace

ModelConfig read_config(const gguf::File& file) {
  ModelConfig config;
  config.architecture = std::string(file.get_string("general.architecture").value_or(""));
  if (config.architecture.empty()) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key 'general.architecture' is missing", file.name());
  }
  config.name = std::string(file.get_string("general.name").value_or(""));
  const Architecture& architecture = find_architecture(file, config.architecture);
  const Reader reader(file, config.architecture);
  config.layers = reader.required("block_count", 1024);
  config.hidden = reader.required("embedding_length", 65536);
  config.ffn = reader.required("feed_forward_length", 1 << 20);
  config.heads = reader.required("attention.head_count", 1024);
  config.kv_heads = reader.optional("attention.head_count_kv", config.heads, 1024);
  config.context = reader.required("context_length", 1 << 27);
  config.head_size = reader.optional("attention.key_length", config.hidden / config.heads, 1024);
  config.norm_eps = static_cast<float>(reader.number("attention.layer_norm_rms_epsilon", 1e-5));
  if (!(config.norm_eps >= 0 && config.norm_eps < 1)) {
    fail(ErrorCode::kCorruptFile, "{}: attention.layer_norm_rms_epsilon is {}, outside 0..1", file.name(),
         config.norm_eps);
  }
  if (config.heads % config.kv_heads != 0 || config.head_size < 2 || config.head_size % 2 != 0) {
    fail(ErrorCode::kUnsupported,
         "{}: {} query heads, {} KV heads, head size {}: the heads must divide and the size be "
         "even",
         file.name(), config.heads, config.kv_heads, config.head_size);
  }
  if (reader.optional("attention.value_length", config.head_size, 1024) != config.head_size) {
    fail(ErrorCode::kUnsupported, "{}: value heads of another size than the key heads are not supported",
         file.name());
  }
  if (file.get_uint(config.architecture + ".expert_count").value_or(0) > 0) {
    fail(ErrorCode::kUnsupported, "{}: mixture-of-experts models are not supported", file.name());
  }
  // Within its window sliding attention equals full attention, so the window bounds the usable context.
  config.context =
      std::min(config.context, reader.optional("attention.sliding_window", config.context, 1 << 27));
  config.rope.base = reader.number("rope.freq_base", 10000);
  config.rope.rotated = reader.optional("rope.dimension_count", config.head_size, config.head_size);
  config.rope.interleaved = architecture.interleaved_rope;
  if (config.rope.rotated % 2 != 0) {
    fail(ErrorCode::kCorruptFile, "{}: rope.dimension_count {} is odd", file.name(), config.rope.rotated);
  }
  read_rope_scaling(file, reader, config.rope);
  read_frequency_factors(file, config.rope);
  const gguf::TensorInfo* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr)
    fail(ErrorCode::kCorruptFile, "{}: tensor 'token_embd.weight' is missing", file.name());
  config.vocabulary = static_cast<int64_t>(embedding->shape.size() > 1 ? embedding->shape[1] : 0);
  config.tied_output = file.find_tensor("output.weight") == nullptr;
  config.qkv_bias = file.find_tensor("blk.0.attn_q.bias") != nullptr;
  return config;
}

}  // namespace claa
