// Rows of a weight as blocks of its file, where they lie: nothing is copied. What a model multiplies its
// weights by stays beside the blocks.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backend/cpu/block_kernels.h"
#include "backend/weight.h"

namespace claa::cpu {

class BlockRows {
 public:
  // Views of source.blocks, which must outlive this.
  BlockRows(const BlockKernels& kernels, const WeightSource& source);

  // True if there are kernels for all rows of the source, with `rounded` for products with rounded rows too.
  static bool have_kernels(const WeightSource& source, bool rounded);

  // Where a block may begin that widen() starts from, whatever its format.
  static constexpr int64_t kSegment = 256;
  // The values [first, first + count) of a row as fill() would give them; `first` is a multiple of kSegment,
  // and `count` too, unless the row ends there.
  void widen(int64_t row, int64_t first, int64_t count, float* to) const;
  // Products of the rows [first, first + count) with `rows` rows of activations, which the factors of columns
  // are part of: out[r * stride + o - first].
  void dots(const RoundedRows& x, int rows, int64_t first, int64_t count, float* out, int64_t stride) const;
  // False if a value of the row is no number.
  bool is_finite(int64_t row) const;

  // True if there are rows of 16-bit floats.
  bool has_floats() const;

  std::span<const float> column_factors() const {
    return column_factors_ == nullptr ? std::span<const float>() : std::span(*column_factors_);
  }
  size_t bytes() const;

 private:
  struct Part {
    gguf::TensorType type;
    BlockFormat format;
    int64_t rows;
    size_t row_bytes;
    const std::byte* data;
    float scale;
  };
  struct Place {
    const Part& part;
    const std::byte* row;
  };
  Place find(int64_t row) const;

  const BlockKernels& kernels_;
  const int64_t inputs_;
  std::vector<Part> parts_;
  const std::shared_ptr<const std::vector<float>> column_factors_;
  const float factor_;
};

}  // namespace claa::cpu
