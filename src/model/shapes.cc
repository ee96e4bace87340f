#include "model/shapes.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "core/usize.h"
#include "model/architectures.h"

namespace claa {
namespace {

ModelConfig shape(int64_t layers, int64_t hidden, int64_t ffn, int64_t heads, int64_t kv_heads,
                  int64_t head_size, int64_t vocabulary, double rope_base) {
  ModelConfig config;
  config.architecture = "llama";
  config.layers = layers, config.hidden = hidden, config.ffn = ffn;
  config.heads = heads, config.kv_heads = kv_heads, config.head_size = head_size;
  config.vocabulary = vocabulary;
  config.context = 131072;
  RopeConfig& rope = config.ropes.emplace_back();
  rope.base = rope_base;
  rope.rotated = head_size;
  config.specs.resize(usize(layers));
  config.family = &kLlama;
  return config;
}

ModelConfig qwen3(ModelConfig config) {
  config.architecture = "qwen3";
  config.family = &kQwen3;
  config.norm_eps = 1e-6f;
  config.ropes.front().interleaved = false;
  for (LayerSpec& layer : config.specs) layer.head_norms = true;
  return config;
}

ModelConfig with_experts(ModelConfig config, int64_t experts, int64_t used, int64_t width) {
  config.architecture = "qwen3moe";
  config.family = &kQwen3Moe;
  for (LayerSpec& layer : config.specs) {
    layer.experts = experts;
    layer.experts_used = used;
    layer.expert_width = width;
  }
  return config;
}

// Three of four layers are recurrent, and a quarter of each head turns.
ModelConfig qwen35(ModelConfig config, int64_t key_heads, int64_t value_heads) {
  constexpr int64_t kEvery = 4, kTurns = 4, kDeltaHead = 128;
  config.architecture = "qwen35";
  config.family = &kQwen35;
  config.norm_eps = 1e-6f;
  config.ropes.front().interleaved = false;
  config.ropes.front().rotated = config.head_size / kTurns;
  config.delta = {4, {key_heads, value_heads, kDeltaHead}};
  for (size_t i = 0; i < config.specs.size(); ++i) {
    LayerSpec& layer = config.specs[i];
    layer.recurrent = (i + 1) % kEvery != 0;
    layer.head_norms = layer.output_gate = !layer.recurrent;
  }
  return config;
}

ModelConfig qwen35moe(ModelConfig config, int64_t experts, int64_t used, int64_t width) {
  config = with_experts(std::move(config), experts, used, width);
  config.architecture = "qwen35moe";
  config.family = &kQwen35Moe;
  for (LayerSpec& layer : config.specs) layer.shared_width = width;
  return config;
}

std::vector<NamedShape> make_shapes() {
  std::vector<NamedShape> shapes = {
      {"llama-3.1-8b", shape(32, 4096, 14336, 32, 8, 128, 128256, 500000)},
      {"llama-3.2-3b", shape(28, 3072, 8192, 24, 8, 128, 128256, 500000)},
      {"llama-3.2-1b", shape(16, 2048, 8192, 32, 8, 64, 128256, 500000)},
      {"mistral-nemo-12b", shape(40, 5120, 14336, 32, 8, 128, 131072, 1000000)},
      {"qwen2.5-7b", shape(28, 3584, 18944, 28, 4, 128, 152064, 1000000)},
      {"qwen3-4b", qwen3(shape(36, 2560, 9728, 32, 8, 128, 151936, 1000000))},
      {"qwen3-30b-a3b", with_experts(qwen3(shape(48, 2048, 6144, 32, 4, 128, 151936, 1000000)), 128, 8, 768)},
      {"qwen3.5-9b", qwen35(shape(32, 4096, 12288, 16, 4, 256, 248320, 10000000), 16, 32)},
      {"qwen3.5-35b-a3b",
       qwen35moe(qwen35(shape(40, 2048, 512, 16, 2, 256, 248320, 10000000), 16, 32), 256, 8, 512)},
      {"smollm2-135m", shape(30, 576, 1536, 9, 3, 64, 49152, 100000)},
  };
  for (NamedShape& entry : shapes) {
    entry.config.name = entry.name;
    entry.config.tied_output =
        entry.name.starts_with("llama-3.2") || entry.name == "smollm2-135m" || entry.name == "qwen3-4b";
    if (entry.name == "qwen2.5-7b") {
      for (LayerSpec& layer : entry.config.specs) layer.qkv_bias = true;
      entry.config.norm_eps = 1e-6f;
    }
  }
  return shapes;
}

class Filler {
 public:
  explicit Filler(Backend& backend) : backend_(backend), values_(kPeriod) {
    std::mt19937 random(1);
    // Sum of four uniform numbers: near enough to normal, and quick.
    for (float& value : values_) {
      float sum = 0;
      for (int i = 0; i < 4; ++i) sum += static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f;
      value = sum * 1.7320508f;
    }
  }

  // Norms are 1 and biases 0, so that activations keep their size.
  void fill(const WeightSpec& spec, WeightSet& to) {
    const WeightKind kind = kind_of(spec.role);
    const int64_t copies = std::max<int64_t>(1, spec.experts);
    if (kind == WeightKind::kMatrix) {
      to.set(spec.role, backend_.prepare(matrix(source_of(spec))));
    } else if (kind == WeightKind::kExperts) {
      std::vector<WeightSource> sources;
      for (int64_t e = 0; e < copies; ++e) sources.push_back(matrix(source_of(spec)));
      to.set(spec.role, backend_.prepare_experts(sources));
    } else {
      const std::vector<float> values(usize(copies * spec.rows() * spec.inputs),
                                      kind == WeightKind::kNorm ? 1.0f : 0.0f);
      to.set(spec.role, upload_vector(backend_, values, spec.outputs > 1 ? spec.inputs : copies));
    }
  }

 private:
  static constexpr size_t kPeriod = (size_t{1} << 20) + 7;

  WeightSource matrix(WeightSource source) {
    const size_t offset = offset_ += 7919;  // another stretch for every matrix
    const int64_t inputs = source.inputs;
    source.fill = [values = scaled(inputs), offset, inputs](int64_t first, int64_t count, float* rows) {
      size_t at = (offset + usize(first) * 104729) % kPeriod;
      for (int64_t left = count * inputs; left > 0;) {
        const int64_t run = std::min<int64_t>(left, static_cast<int64_t>(kPeriod - at));
        rows = std::copy_n(values->begin() + static_cast<int64_t>(at), run, rows);
        left -= run, at = 0;
      }
    };
    return source;
  }

  // The values for rows of `inputs` weights.
  std::shared_ptr<const std::vector<float>> scaled(int64_t inputs) {
    auto& values = scaled_[inputs];
    if (values == nullptr) {
      auto made = std::make_shared<std::vector<float>>(values_);
      for (float& value : *made) value /= std::sqrt(static_cast<float>(inputs));
      values = made;
    }
    return values;
  }

  Backend& backend_;
  std::vector<float> values_;
  std::map<int64_t, std::shared_ptr<const std::vector<float>>> scaled_;
  size_t offset_ = 0;
};

}  // namespace

std::span<const NamedShape> named_shapes() {
  static const std::vector<NamedShape> shapes = make_shapes();
  return shapes;
}

const ModelConfig& find_shape(const std::string& name) {
  const auto shapes = named_shapes();
  const auto found =
      std::find_if(shapes.begin(), shapes.end(), [&](const NamedShape& s) { return s.name == name; });
  if (found != shapes.end()) return found->config;
  std::vector<std::string> names;
  for (const NamedShape& entry : shapes) names.push_back(entry.name);
  fail(ErrorCode::kInvalidArgument, "unknown shape '{}'; choose {}", name, fmt::join(names, ", "));
}

ModelWeights random_weights(const ModelConfig& config, Backend& backend, const LoadProgress& progress) {
  Filler filler(backend);
  ModelWeights weights;
  for (const WeightSpec& spec : config.family->model_weights(config)) filler.fill(spec, weights.model);
  for (int64_t i = 0; i < config.layers; ++i) {
    WeightSet& layer = weights.layers.emplace_back();
    for (const WeightSpec& spec : config.family->layer_weights(config, i)) filler.fill(spec, layer);
    if (progress) progress(i + 1, config.layers);
  }
  return weights;
}

}  // namespace claa
