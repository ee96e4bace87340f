#include "model/weights.h"

#include <fmt/ranges.h>

#include <numeric>
#include <optional>

#include "core/finite.h"
#include "core/usize.h"
#include "gguf/quants.h"
#include "model/equalizer.h"
#include "model/model.h"

namespace claa {
namespace {

size_t row_bytes(gguf::TensorType type, int64_t columns) {
  return usize(columns) / gguf::block_elements(type) * gguf::block_bytes(type);
}

// Throws kCorruptFile for a value that is no number: it would spoil every answer.
void check_finite(const std::string& file, const std::string& tensor, int64_t row,
                  std::span<const float> values) {
  const size_t column = first_not_finite(values);
  if (column == values.size()) return;
  fail(ErrorCode::kCorruptFile,
       "{}: tensor '{}' holds {} in row {}, column {}; the file is damaged or was converted wrongly", file,
       tensor, values[column], row, column);
}

class Loader {
 public:
  Loader(const gguf::File& file, Backend& backend) : file_(file), backend_(backend) {}

  // Loads one weight of the table. With an equalizer, a norm is divided by factors, by which the columns of
  // the matrices that read it are multiplied.
  void load(const WeightSpec& spec, const Equalizer* equalizer, WeightSet& to) {
    if (kind_of(spec.role) == WeightKind::kMatrix) {
      const bool even = norm_ && reads(spec.role, *norm_);
      to.set(spec.role, matrix(spec, even ? std::span<const float>(factors_) : std::span<const float>()));
      return;
    }
    std::vector<float> values = vector(spec);
    if (equalizer != nullptr && is_read_by_matrices(spec.role)) {
      norm_ = spec.role;
      factors_ = equalizer->factors(values);
      for (size_t i = 0; i < values.size(); ++i) values[i] /= factors_[i];
    }
    to.set(spec.role, upload_vector(backend_, values));
  }

 private:
  const gguf::TensorInfo& find(const std::string& name, const std::vector<uint64_t>& shape) const {
    const gguf::TensorInfo* info = file_.find_tensor(name);
    if (info == nullptr)
      fail(ErrorCode::kCorruptFile, "{}: tensor '{}' is missing; convert the model anew", file_.name(), name);
    if (info->shape != shape) {
      fail(ErrorCode::kCorruptFile,
           "{}: tensor '{}' has shape [{}], the metadata asks for [{}]; convert the model anew", file_.name(),
           name, fmt::join(info->shape, ", "), fmt::join(shape, ", "));
    }
    return *info;
  }

  std::vector<float> vector(const WeightSpec& spec) const {
    std::vector<float> values;
    for (const TensorRows& part : spec.tensors) {
      const int64_t all = part.all == 0 ? spec.inputs : part.all;
      const gguf::TensorInfo& info = find(part.name, {static_cast<uint64_t>(all)});
      std::vector<float> whole(usize(all));
      gguf::dequantize(info.type, info.data, whole);
      check_finite(file_.name(), part.name, 0, whole);
      const auto first = whole.begin() + part.first;
      values.insert(values.end(), first, first + spec.inputs);
    }
    for (float& value : values) value *= spec.factor;
    return values;
  }

  std::unique_ptr<PackedWeight> matrix(const WeightSpec& spec, std::span<const float> factors) const {
    std::vector<TypedBlocks> parts;
    for (const TensorRows& part : spec.tensors) {
      const int64_t all = part.all == 0 ? spec.outputs : part.all;
      const gguf::TensorInfo& info =
          find(part.name, {static_cast<uint64_t>(spec.inputs), static_cast<uint64_t>(all)});
      const size_t bytes = row_bytes(info.type, spec.inputs);
      parts.push_back({info.type, spec.outputs,
                       info.data.subspan(usize(part.first) * bytes, usize(spec.outputs) * bytes)});
    }
    WeightSource source = source_of(spec);
    const float factor = spec.factor;
    if (factors.empty() && factor == 1) source.blocks = parts;
    source.fill = [&, outputs = spec.outputs, inputs = spec.inputs](int64_t first, int64_t count,
                                                                    float* rows) {
      for (int64_t r = first; r < first + count; ++r, rows += inputs) {
        const TypedBlocks& part = parts[usize(r / outputs)];
        const size_t bytes = row_bytes(part.type, inputs);
        const std::span<float> to(rows, usize(inputs));
        gguf::dequantize(part.type, part.data.subspan(usize(r % outputs) * bytes, bytes), to);
        const TensorRows& tensor = spec.tensors[usize(r / outputs)];
        check_finite(file_.name(), tensor.name, tensor.first + r % outputs, to);
        for (size_t i = 0; i < factors.size(); ++i) rows[i] *= factors[i];
        for (float& value : to) value *= factor;
      }
    };
    return backend_.prepare(source);
  }

  const gguf::File& file_;
  Backend& backend_;
  std::optional<Role> norm_;  // the last one that was evened out
  std::vector<float> factors_;
};

}  // namespace

Vector upload_vector(Backend& backend, std::span<const float> values) {
  Vector result;
  result.memory = backend.allocate(values.size_bytes());
  backend.upload(values.data(), values.size_bytes(), result.memory.data());
  result.tensor = Tensor::matrix(result.memory.data(), DType::kF32, 1, static_cast<int64_t>(values.size()));
  return result;
}

size_t WeightSet::bytes() const {
  size_t bytes = 0;
  for (const Weight& weight : weights_) bytes += weight.matrix == nullptr ? 0 : weight.matrix->bytes;
  return bytes;
}

size_t ModelWeights::bytes() const {
  return std::accumulate(layers.begin(), layers.end(), model.bytes(),
                         [](size_t sum, const WeightSet& layer) { return sum + layer.bytes(); });
}

WeightSource source_of(const WeightSpec& spec) {
  WeightSource source;
  source.outputs = spec.rows();
  source.inputs = spec.inputs;
  source.table = spec.role == Role::kEmbedding || spec.role == Role::kOutput;
  source.gated = spec.role == Role::kDown;
  return source;
}

ModelWeights load_weights(const gguf::File& file, const ModelConfig& config, Backend& backend,
                          const LoadProgress& progress) {
  Loader loader(file, backend);
  Model model(config, {}, backend);  // as far as it is loaded
  ModelWeights& weights = model.weights();
  for (const WeightSpec& spec : config.family->model_weights(config))
    loader.load(spec, nullptr, weights.model);
  weights.layers.reserve(usize(config.layers));
  std::optional<Equalizer> equalizer;
  if (backend.traits().even_channels) equalizer.emplace(model);
  for (int64_t i = 0; i < config.layers; ++i) {
    WeightSet& layer = weights.layers.emplace_back();
    bool attended = false;
    for (const WeightSpec& spec : config.family->layer_weights(config, i)) {
      if (equalizer && !attended && !in_attention_half(spec.role)) equalizer->attend(i), attended = true;
      loader.load(spec, equalizer ? &*equalizer : nullptr, layer);
    }
    if (equalizer && i + 1 < config.layers) equalizer->feed_forward(i);
    if (progress) progress(i + 1, config.layers);
  }
  return std::move(weights);
}

}  // namespace claa
