// A weight on its way from a file to the form that a backend multiplies with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "gguf/file.h"

namespace claa {

// A weight in the form its backend multiplies with. Shape [outputs, inputs].
class PackedWeight {
 public:
  virtual ~PackedWeight() = default;
  int64_t outputs = 0;
  int64_t inputs = 0;
  size_t bytes = 0;       // of the form that is multiplied, which may lie in the mapped file
  bool resident = false;  // reads its file's blocks, which must outlive it
};

// What the experts of a layer multiply at one step, each weight prepared by itself; all of one shape.
class PackedExperts {
 public:
  virtual ~PackedExperts() = default;
  std::vector<std::unique_ptr<PackedWeight>> each;
  int64_t count() const { return static_cast<int64_t>(each.size()); }
  size_t bytes() const;
};

// Neighbouring rows of a weight as its file has them: blocks of one type.
struct TypedBlocks {
  gguf::TensorType type = gguf::TensorType::kF32;
  int64_t rows = 0;
  std::span<const std::byte> data;  // [rows, bytes of a row]
};

// Where a weight [outputs, inputs] comes from.
struct WeightSource {
  int64_t outputs = 0;
  int64_t inputs = 0;
  bool table = false;  // also read by embed(): rows must stay addressable
  // Fills f32 rows [first, first + count), row-major. Called by several threads at once. May throw.
  std::function<void(int64_t first, int64_t count, float* rows)> fill = {};
  bool gated = false;  // multiplies what gate() writes
  // The same rows in the form of the file, for a backend that multiplies with it; empty where there is no
  // file. They live as long as the weight where BackendOptions::resident asks for that. fill() multiplies
  // their values by the factor of each column, if there are any, and then by `factor`.
  std::vector<TypedBlocks> blocks = {};
  std::shared_ptr<const std::vector<float>> column_factors = {};
  float factor = 1;
};

}  // namespace claa
