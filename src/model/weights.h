// The weights of a model, prepared for one backend, by role.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/cache_file.h"
#include "core/usize.h"
#include "gguf/file.h"
#include "model/config.h"

namespace claa {

// Small f32 vectors on the device: a norm weight, a bias, or the biases of experts.
struct Vector {
  Buffer memory;
  Tensor tensor;  // [rows, n]
};
Vector upload_vector(Backend& backend, std::span<const float> values, int64_t rows = 1);

// Weights outside the layers, or those of one layer.
class WeightSet {
 public:
  bool has(Role role) const {
    const Weight& weight = at(role);
    return weight.matrix != nullptr || weight.experts != nullptr || weight.vector.tensor.data != nullptr;
  }
  const PackedWeight& matrix(Role role) const {
    require(at(role).matrix != nullptr, "a matrix that the model does not have");
    return *at(role).matrix;
  }
  const PackedExperts& experts(Role role) const {
    require(at(role).experts != nullptr, "experts that the model does not have");
    return *at(role).experts;
  }
  const Tensor& vector(Role role) const {
    require(at(role).vector.tensor.data != nullptr, "a vector that the model does not have");
    return at(role).vector.tensor;
  }
  void set(Role role, std::unique_ptr<PackedWeight> matrix) { at(role).matrix = std::move(matrix); }
  void set(Role role, std::unique_ptr<PackedExperts> experts) { at(role).experts = std::move(experts); }
  void set(Role role, Vector vector) { at(role).vector = std::move(vector); }
  size_t bytes() const;           // of the matrices
  size_t resident_bytes() const;  // of those that read the file's blocks

 private:
  struct Weight {
    std::unique_ptr<PackedWeight> matrix;
    std::unique_ptr<PackedExperts> experts;
    Vector vector;
  };
  const Weight& at(Role role) const { return weights_[usize(role)]; }
  Weight& at(Role role) { return weights_[usize(role)]; }
  std::array<Weight, kRoles> weights_;
};

struct ModelWeights {
  WeightSet model;  // outside the layers
  std::vector<WeightSet> layers;
  // The matrix of the logits: the embedding where the two are one.
  const PackedWeight& output() const {
    return model.matrix(model.has(Role::kOutput) ? Role::kOutput : Role::kEmbedding);
  }
  size_t bytes() const;
  size_t resident_bytes() const;
};

// The source of a matrix of the table, or of that of one expert, with all but its values; with a file also
// its blocks (the first expert's), as far as the file has them.
WeightSource source_of(const WeightSpec& spec, const gguf::File* file = nullptr);

// Called after each layer with the layers done and in all.
using LoadProgress = std::function<void(int64_t, int64_t)>;

// Checks every shape. Throws kCorruptFile for a missing or misshapen tensor. Devices that even out channels
// (DeviceTraits::even_channels) take the factors that an earlier load left in `kept_factors`, if any.
ModelWeights load_weights(const gguf::File& file, const ModelConfig& config, Backend& backend,
                          const LoadProgress& progress = {}, const CacheFile* kept_factors = nullptr);

}  // namespace claa
