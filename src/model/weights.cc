#include "model/weights.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/finite.h"
#include "core/usize.h"
#include "gguf/quants.h"
#include "model/channel_factors.h"
#include "model/model.h"

namespace claa {
namespace {

// Throws kCorruptFile for a value that is no number: it would spoil every answer.
void check_finite(const std::string& file, const std::string& tensor, int64_t row,
                  std::span<const float> values) {
  const size_t column = first_not_finite(values);
  if (column == values.size()) return;
  fail(ErrorCode::kCorruptFile,
       "{}: tensor '{}' holds {} in row {}, column {}; the file is damaged or was converted wrongly", file,
       tensor, values[column], row, column);
}

// Rows of a tensor, of which there are some; empty if not all are multiplied by the same scale.
std::optional<TypedBlocks> blocks_of(const gguf::TensorInfo& info, int64_t first, int64_t rows) {
  const auto from = static_cast<uint64_t>(first), count = static_cast<uint64_t>(rows);
  TypedBlocks blocks{info.type, rows, info.rows(from, count)};
  if (info.scales == nullptr) return blocks;
  const gguf::TensorScales& scales = *info.scales;
  const uint64_t tile = from / scales.tile_rows;
  if (scales.tiles_per_row != 1 || (from + count - 1) / scales.tile_rows != tile) return std::nullopt;
  blocks.scale = scales.values[tile];
  return blocks;
}

using Factors = std::shared_ptr<const std::vector<float>>;  // of channels; null: all are 1

class Loader {
 public:
  Loader(const gguf::File& file, Backend& backend) : file_(file), backend_(backend) {}

  // Loads one weight of the table. With `channels`, a norm is divided by factors, by which the columns of the
  // matrices that read it are multiplied.
  void load(const WeightSpec& spec, ChannelFactors* channels, WeightSet& to) {
    const WeightKind kind = kind_of(spec.role);
    if (kind == WeightKind::kMatrix || kind == WeightKind::kExperts) {
      const bool even = norm_ && reads(spec.role, *norm_);
      const Factors factors = even ? factors_ : nullptr;
      if (kind == WeightKind::kMatrix) {
        to.set(spec.role, backend_.prepare(matrix(spec, 0, factors)));
      } else {
        to.set(spec.role, experts(spec, factors));
      }
      return;
    }
    if (spec.outputs > 1) {
      to.set(spec.role, upload_vector(backend_, transposed(spec), spec.inputs));
      return;
    }
    std::vector<float> values = vector(spec);
    if (channels != nullptr && is_read_by_matrices(spec.role)) {
      norm_ = spec.role;
      factors_ = std::make_shared<const std::vector<float>>(channels->next(values));
      for (size_t i = 0; i < values.size(); ++i) values[i] /= (*factors_)[i];
    }
    to.set(spec.role, upload_vector(backend_, values, std::max<int64_t>(1, spec.experts)));
  }

 private:
  // `shape` without the experts.
  const gguf::TensorInfo& find(const WeightSpec& spec, const std::string& name,
                               std::vector<uint64_t> shape) const {
    if (spec.experts > 0) shape.push_back(static_cast<uint64_t>(spec.experts));
    const gguf::TensorInfo* info = file_.find_tensor(name);
    // A matrix of one row may be a vector.
    if (info != nullptr && shape.size() == 2 && shape[1] == 1 && info->shape.size() == 1) shape.pop_back();
    if (info == nullptr)
      fail(ErrorCode::kCorruptFile, "{}: tensor '{}' is missing; convert the model anew", file_.name(), name);
    if (info->shape != shape) {
      fail(ErrorCode::kCorruptFile,
           "{}: tensor '{}' has shape [{}], the metadata asks for [{}]; convert the model anew", file_.name(),
           name, fmt::join(info->shape, ", "), fmt::join(shape, ", "));
    }
    return *info;
  }

  // A norm or bias of several rows, as [inputs, rows].
  std::vector<float> transposed(const WeightSpec& spec) const {
    const std::string& name = spec.tensors.front().name;
    const gguf::TensorInfo& info =
        find(spec, name, {static_cast<uint64_t>(spec.inputs), static_cast<uint64_t>(spec.outputs)});
    std::vector<float> row(usize(spec.inputs)), values(usize(spec.outputs * spec.inputs));
    for (int64_t r = 0; r < spec.outputs; ++r) {
      gguf::dequantize_rows(info, static_cast<uint64_t>(r), row);
      check_finite(file_.name(), name, r, row);
      for (int64_t i = 0; i < spec.inputs; ++i) values[usize(i * spec.outputs + r)] = row[usize(i)];
    }
    return values;
  }

  // [experts or 1, tensors, inputs]
  std::vector<float> vector(const WeightSpec& spec) const {
    const int64_t copies = std::max<int64_t>(1, spec.experts);
    const int64_t row = spec.rows() * spec.inputs;
    std::vector<float> values(usize(copies * row), 1.0f);
    for (size_t t = 0; t < spec.tensors.size(); ++t) {
      const TensorRows& part = spec.tensors[t];
      const int64_t all = part.all == 0 ? spec.inputs : part.all;
      const gguf::TensorInfo& info = find(spec, part.name, {static_cast<uint64_t>(all)});
      std::vector<float> whole(usize(copies * all));
      gguf::dequantize_rows(info, 0, whole);
      check_finite(file_.name(), part.name, 0, whole);
      for (int64_t e = 0; e < copies; ++e) {
        std::copy_n(whole.begin() + e * all + part.first, spec.inputs,
                    values.begin() + e * row + static_cast<int64_t>(t) * spec.inputs);
      }
    }
    for (float& value : values) value *= spec.factor;
    return values;
  }

  // The source does not outlive the spec.
  WeightSource matrix(const WeightSpec& spec, int64_t expert, const Factors& factors) const {
    std::vector<TypedBlocks> parts;
    std::vector<const gguf::TensorInfo*> tensors;
    for (const TensorRows& part : spec.tensors) {
      const int64_t all = part.all == 0 ? spec.outputs : part.all;
      const gguf::TensorInfo& info =
          find(spec, part.name, {static_cast<uint64_t>(spec.inputs), static_cast<uint64_t>(all)});
      const std::optional<TypedBlocks> blocks = blocks_of(info, expert * all + part.first, spec.outputs);
      if (blocks) parts.push_back(*blocks);
      tensors.push_back(&info);
    }
    WeightSource source = source_of(spec);
    if (parts.size() == tensors.size()) source.blocks = std::move(parts);
    source.column_factors = factors;
    source.factor = spec.factor;
    source.fill = [this, &spec, tensors = std::move(tensors), factors, expert](int64_t first, int64_t count,
                                                                               float* rows) {
      for (int64_t r = first; r < first + count; ++r, rows += spec.inputs)
        fill_row(spec, tensors, factors, expert, r, rows);
    };
    return source;
  }

  void fill_row(const WeightSpec& spec, const std::vector<const gguf::TensorInfo*>& tensors,
                const Factors& factors, int64_t expert, int64_t r, float* row) const {
    const std::span<float> to(row, usize(spec.inputs));
    const size_t part = usize(r / spec.outputs);
    const TensorRows& tensor = spec.tensors[part];
    const int64_t all = tensor.all == 0 ? spec.outputs : tensor.all;
    const int64_t at = expert * all + tensor.first + r % spec.outputs;
    gguf::dequantize_rows(*tensors[part], static_cast<uint64_t>(at), to);
    check_finite(file_.name(), tensor.name, at, to);
    for (size_t i = 0; factors != nullptr && i < factors->size(); ++i) row[i] *= (*factors)[i];
    for (float& value : to) value *= spec.factor;
  }

  std::unique_ptr<PackedExperts> experts(const WeightSpec& spec, const Factors& factors) const {
    std::vector<WeightSource> sources;
    for (int64_t e = 0; e < spec.experts; ++e) sources.push_back(matrix(spec, e, factors));
    return backend_.prepare_experts(sources);
  }

  const gguf::File& file_;
  Backend& backend_;
  std::optional<Role> norm_;  // the last one that was evened out
  Factors factors_;
};

}  // namespace

Vector upload_vector(Backend& backend, std::span<const float> values, int64_t rows) {
  Vector result;
  result.memory = backend.allocate(values.size_bytes());
  backend.upload(values.data(), values.size_bytes(), result.memory.data());
  result.tensor =
      Tensor::matrix(result.memory.data(), DType::kF32, rows, static_cast<int64_t>(values.size()) / rows);
  return result;
}

size_t WeightSet::bytes() const {
  size_t bytes = 0;
  for (const Weight& weight : weights_) {
    if (weight.matrix != nullptr) bytes += weight.matrix->bytes;
    if (weight.experts != nullptr) bytes += weight.experts->bytes();
  }
  return bytes;
}

size_t WeightSet::resident_bytes() const {
  size_t bytes = 0;
  const auto add = [&](const std::unique_ptr<PackedWeight>& matrix) {
    if (matrix != nullptr && matrix->resident) bytes += matrix->bytes;
  };
  for (const Weight& weight : weights_) {
    add(weight.matrix);
    if (weight.experts != nullptr)
      std::for_each(weight.experts->each.begin(), weight.experts->each.end(), add);
  }
  return bytes;
}

size_t ModelWeights::resident_bytes() const {
  return std::accumulate(layers.begin(), layers.end(), model.resident_bytes(),
                         [](size_t sum, const WeightSet& layer) { return sum + layer.resident_bytes(); });
}

size_t ModelWeights::bytes() const {
  return std::accumulate(layers.begin(), layers.end(), model.bytes(),
                         [](size_t sum, const WeightSet& layer) { return sum + layer.bytes(); });
}

WeightSource source_of(const WeightSpec& spec, const gguf::File* file) {
  WeightSource source;
  source.outputs = spec.rows();
  source.inputs = spec.inputs;
  // A router, small as it is, decides too much for 8 bits, as does a gate of whole rows, and so do rates,
  // whose errors add up.
  source.table = spec.role == Role::kEmbedding || spec.role == Role::kOutput || spec.role == Role::kRouter ||
                 spec.role == Role::kDeltaRates || spec.role == Role::kTokenInputs ||
                 spec.role == Role::kSharedGate;
  source.gated = spec.role == Role::kDown || spec.role == Role::kExpertDown || spec.role == Role::kSharedDown;
  source.expert = spec.experts > 0;
  if (file == nullptr) return source;
  for (const TensorRows& part : spec.tensors) {
    const gguf::TensorInfo* info = file->find_tensor(part.name);
    if (info == nullptr || info->shape.empty() || info->shape[0] != static_cast<uint64_t>(spec.inputs) ||
        (info->shape.size() > 1 ? info->shape[1] : 1) < static_cast<uint64_t>(part.first + spec.outputs)) {
      return source_of(spec);
    }
    const std::optional<TypedBlocks> blocks = blocks_of(*info, part.first, spec.outputs);
    if (!blocks) return source_of(spec);
    source.blocks.push_back(*blocks);
  }
  return source;
}

ModelWeights load_weights(const gguf::File& file, const ModelConfig& config, Backend& backend,
                          const LoadProgress& progress, const CacheFile* kept_factors) {
  Loader loader(file, backend);
  Model model(config, {}, backend);  // as far as it is loaded
  ModelWeights& weights = model.weights();
  for (const WeightSpec& spec : config.family->model_weights(config))
    loader.load(spec, nullptr, weights.model);
  weights.layers.reserve(usize(config.layers));
  std::optional<ChannelFactors> channels;
  if (backend.traits().even_channels) channels.emplace(model, kept_factors);
  for (int64_t i = 0; i < config.layers; ++i) {
    WeightSet& layer = weights.layers.emplace_back();
    bool attended = false;
    for (const WeightSpec& spec : config.family->layer_weights(config, i)) {
      if (channels && !attended && !in_attention_half(spec.role)) channels->attend(i), attended = true;
      loader.load(spec, channels ? &*channels : nullptr, layer);
    }
    if (channels && i + 1 < config.layers) channels->feed_forward(i);
    if (progress) progress(i + 1, config.layers);
  }
  if (channels) channels->keep();
  return std::move(weights);
}

}  // namespace claa
