#include "model/weights.h"

#include <fmt/ranges.h>

#include <optional>

#include "gguf/quants.h"
#include "model/equalizer.h"

namespace claa {
namespace {

class Loader {
 public:
  Loader(const gguf::File& file, const ModelConfig& config, Backend& backend)
      : file_(file), config_(config), backend_(backend) {}

  Vector vector(const std::string& name, int64_t size) const { return upload(values(name, size)); }

  // A norm's weight; with an equalizer divided by factors, which the columns of what reads the norm need.
  Vector norm(const std::string& name, const Equalizer* equalizer, std::vector<float>& factors) const {
    std::vector<float> weight = values(name, config_.hidden);
    if (equalizer == nullptr) return upload(weight);
    factors = equalizer->factors(weight);
    for (size_t i = 0; i < weight.size(); ++i) weight[i] /= factors[i];
    return upload(weight);
  }

  Vector joined_vector(const std::string& first, const std::string& second, int64_t size) const {
    std::vector<float> joined = values(first, size);
    const std::vector<float> rest = values(second, size);
    joined.insert(joined.end(), rest.begin(), rest.end());
    return upload(joined);
  }

  // One matrix from the rows of one or two tensors of `outputs` rows each. `source` says what it is for;
  // `factors` of its columns may be empty: all 1.
  std::unique_ptr<PackedWeight> matrix(const std::vector<std::string>& names, int64_t outputs, int64_t inputs,
                                       WeightSource source = {}, std::span<const float> factors = {}) {
    std::vector<const gguf::TensorInfo*> parts;
    for (const std::string& name : names) {
      parts.push_back(&find(name, {static_cast<uint64_t>(inputs), static_cast<uint64_t>(outputs)}));
    }
    source.outputs = outputs * static_cast<int64_t>(parts.size());
    source.inputs = inputs;
    source.fill = [&parts, outputs, inputs, factors](int64_t first, int64_t count, float* rows) {
      for (int64_t r = 0; r < count; ++r) {
        const gguf::TensorInfo& part = *parts[static_cast<size_t>((first + r) / outputs)];
        const size_t row_bytes =
            static_cast<size_t>(inputs) / gguf::block_elements(part.type) * gguf::block_bytes(part.type);
        const size_t row = static_cast<size_t>((first + r) % outputs);
        gguf::dequantize(part.type, part.data.subspan(row * row_bytes, row_bytes),
                         std::span(rows + r * inputs, static_cast<size_t>(inputs)));
        for (size_t i = 0; i < factors.size(); ++i) rows[r * inputs + static_cast<int64_t>(i)] *= factors[i];
      }
    };
    auto weight = backend_.prepare(source);
    bytes_ += weight->bytes;
    return weight;
  }

  void attention_half(int64_t index, const Equalizer* equalizer, LayerWeights& w) {
    const auto name = [index](const char* part) { return fmt::format("blk.{}.{}", index, part); };
    const int64_t q_size = config_.heads * config_.head_size, kv_size = config_.kv_heads * config_.head_size;
    std::vector<float> factors;
    w.attention_norm = norm(name("attn_norm.weight"), equalizer, factors);
    w.q = matrix({name("attn_q.weight")}, q_size, config_.hidden, {}, factors);
    w.kv = matrix({name("attn_k.weight"), name("attn_v.weight")}, kv_size, config_.hidden, {}, factors);
    w.output = matrix({name("attn_output.weight")}, config_.hidden, q_size);
    if (config_.qkv_bias) {
      w.q_bias = vector(name("attn_q.bias"), q_size);
      w.kv_bias = joined_vector(name("attn_k.bias"), name("attn_v.bias"), kv_size);
    }
  }

  void feed_forward_half(int64_t index, const Equalizer* equalizer, LayerWeights& w) {
    const auto name = [index](const char* part) { return fmt::format("blk.{}.{}", index, part); };
    std::vector<float> factors;
    w.ffn_norm = norm(name("ffn_norm.weight"), equalizer, factors);
    w.gate_up =
        matrix({name("ffn_gate.weight"), name("ffn_up.weight")}, config_.ffn, config_.hidden, {}, factors);
    w.down = matrix({name("ffn_down.weight")}, config_.hidden, config_.ffn, {.gated = true});
  }

  size_t bytes() const { return bytes_; }

 private:
  const gguf::TensorInfo& find(const std::string& name, const std::vector<uint64_t>& shape) const {
    const gguf::TensorInfo* info = file_.find_tensor(name);
    if (info == nullptr) fail(ErrorCode::kCorruptFile, "{}: tensor '{}' is missing", file_.name(), name);
    if (info->shape != shape) {
      fail(ErrorCode::kCorruptFile, "{}: tensor '{}' has shape [{}], the metadata asks for [{}]",
           file_.name(), name, fmt::join(info->shape, ", "), fmt::join(shape, ", "));
    }
    return *info;
  }
  std::vector<float> values(const std::string& name, int64_t size) const {
    const gguf::TensorInfo& info = find(name, {static_cast<uint64_t>(size)});
    std::vector<float> result(static_cast<size_t>(size));
    gguf::dequantize(info.type, info.data, result);
    return result;
  }
  Vector upload(const std::vector<float>& values) const {
    Vector result;
    result.memory = backend_.allocate(values.size() * sizeof(float));
    backend_.upload(values.data(), values.size() * sizeof(float), result.memory.data());
    result.tensor = Tensor::matrix(result.memory.data(), DType::kF32, 1, static_cast<int64_t>(values.size()));
    return result;
  }

  const gguf::File& file_;
  const ModelConfig& config_;
  Backend& backend_;
  size_t bytes_ = 0;
};

}  // namespace

ModelWeights load_weights(const gguf::File& file, const ModelConfig& config, Backend& backend,
                          const LoadProgress& progress) {
  Loader loader(file, config, backend);
  ModelWeights weights;
  weights.embedding = loader.matrix({"token_embd.weight"}, config.vocabulary, config.hidden, {.table = true});
  weights.output = config.tied_output
                       ? weights.embedding
                       : loader.matrix({"output.weight"}, config.vocabulary, config.hidden, {.table = true});
  weights.final_norm = loader.vector("output_norm.weight", config.hidden);
  weights.layers.reserve(static_cast<size_t>(config.layers));
  LlamaModel model(config, std::move(weights), backend);  // as far as it is loaded
  std::optional<Equalizer> equalizer;
  if (backend.wants_even_channels()) equalizer.emplace(model);
  const Equalizer* even = equalizer ? &*equalizer : nullptr;
  for (int64_t i = 0; i < config.layers; ++i) {
    LayerWeights& layer = model.weights().layers.emplace_back();
    loader.attention_half(i, even, layer);
    if (equalizer) equalizer->attend(i);
    loader.feed_forward_half(i, even, layer);
    if (equalizer && i + 1 < config.layers) equalizer->feed_forward(i);
    if (progress) progress(i + 1, config.layers);
  }
  model.weights().bytes = loader.bytes();
  return std::move(model.weights());
}

}  // namespace claa
