// Weights that stay the blocks of their file, in device memory. The bytes of a block are laid out anew, as
// many as before: its numbers, further bits of these and its scales lie in three planes, so that neighbouring
// threads read neighbouring bytes. All is asynchronous on `stream`.
#pragma once

#include <cstddef>

#include "backend/block_format.h"
#include "backend/cuda/experts.h"

namespace claa::cuda {

// Rows of one format: [rows, inputs].
struct BlockPart {
  BlockFormat format = BlockFormat::kQ8_0;
  int64_t rows = 0, inputs = 0;
  uint8_t* numbers = nullptr;
  uint8_t* bits = nullptr;        // where the format has any
  uint8_t* scales = nullptr;      // and minima
  float factor = 1;               // of all values
  float scale = 1;                // by which they are multiplied before
  const uint8_t* grid = nullptr;  // what numbers are points of, if they are
};

// Bytes of the planes of so many values, each plane on a boundary of 256.
size_t block_plane_bytes(BlockFormat format, int64_t values);
// Points the planes of `part` into `memory`.
void place_planes(void* memory, BlockPart& part);
// Moves `blocks` blocks as the file has them to their planes, from block `first` on.
void repack_blocks(const void* from, int64_t first, int64_t blocks, const BlockPart& part,
                   cudaStream_t stream);

// The scale of each row in FP8, as quantize_rows() chooses it (fp8.h).
void find_row_scales(const BlockPart& part, float* scales, cudaStream_t stream);
// Lowers *row to the first row with a value that is no number, if there is one before.
void find_not_finite(const BlockPart& part, int* row, cudaStream_t stream);

// Rows [first, first + rows) as f32, bf16 or FP8, contiguous: the bits of a weight that was widened when it
// was loaded. FP8 takes the scale of each row, scales[0] being that of row `first`.
struct UnpackedRows {
  void* data = nullptr;
  ValueType type = ValueType::kF32;
  const float* scales = nullptr;
};
void unpack_blocks(const BlockPart& part, int64_t first, int64_t rows, const UnpackedRows& to,
                   cudaStream_t stream);
// The rows `ids` times `scale`, from column `first` on, as embed() reads a table of f32 or bf16.
void embed_blocks(const BlockPart& part, const int32_t* ids, float scale, bool bf16, int64_t first,
                  const View& out, cudaStream_t stream);

// One row of activations: f32, bf16, or FP8 with its scale.
struct BlockInput {
  const void* x = nullptr;
  ValueType type = ValueType::kF32;
  const float* scale = nullptr;
};
// out = x W^T (+ out) for one row at the speed of the memory that holds W, where gemv_blocks_fits(). Weights
// are not rounded; rows of bf16 and FP8 become integers of 16 bits, with one scale per 16.
bool gemv_blocks_fits(const BlockInput& x, int64_t inputs);
void gemv_blocks(const BlockInput& x, const BlockPart& part, const View& out, bool accumulate,
                 cudaStream_t stream);

// The same for choices of experts, whose weights lie one below the other: [experts * outputs, inputs].
void gemv_chosen_blocks(const ChosenRows& call, const BlockPart& part, cudaStream_t stream);

}  // namespace claa::cuda
