// A weight on its way from a file to the form that a backend multiplies with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/block_format.h"
#include "gguf/file.h"

namespace claa {

// A weight in the form its backend multiplies with. Shape [outputs, inputs].
class PackedWeight {
 public:
  virtual ~PackedWeight() = default;
  int64_t outputs = 0;
  int64_t inputs = 0;
  size_t bytes = 0;       // of the form that is multiplied, which may lie in the mapped file
  bool resident = false;  // stays its file's blocks; on the cpu it reads the mapping, which must outlive it
};

// What the experts of a layer multiply at one step, each weight prepared by itself; all of one shape.
class PackedExperts {
 public:
  virtual ~PackedExperts() = default;
  std::vector<std::unique_ptr<PackedWeight>> each;
  int64_t count() const { return static_cast<int64_t>(each.size()); }
  size_t bytes() const;
};

// The format of a tensor's blocks; empty if only widened weights are multiplied.
constexpr std::optional<BlockFormat> block_format(gguf::TensorType type) {
  using enum gguf::TensorType;
  switch (type) {
    case kQ8_0:
      return BlockFormat::kQ8_0;
    case kQ4_0:
      return BlockFormat::kQ4_0;
    case kQ4_1:
      return BlockFormat::kQ4_1;
    case kQ5_0:
      return BlockFormat::kQ5_0;
    case kQ5_1:
      return BlockFormat::kQ5_1;
    case kQ2_K:
      return BlockFormat::kQ2_K;
    case kQ3_K:
      return BlockFormat::kQ3_K;
    case kQ4_K:
      return BlockFormat::kQ4_K;
    case kQ5_K:
      return BlockFormat::kQ5_K;
    case kQ6_K:
      return BlockFormat::kQ6_K;
    case kIQ4_NL:
      return BlockFormat::kIQ4_NL;
    case kIQ4_XS:
      return BlockFormat::kIQ4_XS;
    case kMXFP4:
      return BlockFormat::kMXFP4;
    case kNVFP4:
      return BlockFormat::kNVFP4;
    case kTQ1_0:
      return BlockFormat::kTQ1_0;
    case kTQ2_0:
      return BlockFormat::kTQ2_0;
    case kIQ1_S:
      return BlockFormat::kIQ1_S;
    case kIQ1_M:
      return BlockFormat::kIQ1_M;
    case kIQ2_XXS:
      return BlockFormat::kIQ2_XXS;
    case kIQ2_XS:
      return BlockFormat::kIQ2_XS;
    case kIQ2_S:
      return BlockFormat::kIQ2_S;
    case kIQ3_XXS:
      return BlockFormat::kIQ3_XXS;
    case kIQ3_S:
      return BlockFormat::kIQ3_S;
    case kF16:
      return BlockFormat::kF16;
    case kBF16:
      return BlockFormat::kBF16;
    default:
      return std::nullopt;
  }
}

// Neighbouring rows of a weight as its file has them: blocks of one type.
struct TypedBlocks {
  gguf::TensorType type = gguf::TensorType::kF32;
  int64_t rows = 0;
  std::span<const std::byte> data;  // [rows, bytes of a row]
  float scale = 1;                  // of all values, a tensor of its own in the file
};

// Where a weight [outputs, inputs] comes from.
struct WeightSource {
  int64_t outputs = 0;
  int64_t inputs = 0;
  bool table = false;  // also read by embed(): rows must stay addressable
  // Fills f32 rows [first, first + count), row-major. Called by several threads at once. May throw.
  std::function<void(int64_t first, int64_t count, float* rows)> fill = {};
  bool gated = false;   // multiplies what gate() writes
  bool expert = false;  // is one of several of its kind, of which a router chooses some
  // The same rows in the form of the file, for a backend that multiplies with it; empty where there is no
  // file. They live as long as the weight where BackendOptions::resident asks for that. fill() multiplies
  // their values by their scale, by the factor of each column, if there are any, and then by `factor`.
  std::vector<TypedBlocks> blocks = {};
  std::shared_ptr<const std::vector<float>> column_factors = {};
  float factor = 1;
};

}  // namespace claa
