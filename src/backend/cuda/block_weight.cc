#include "backend/cuda/block_weight.h"

#include <algorithm>
#include <limits>
#include <span>

#include "core/usize.h"
#include "gguf/iq_grids.h"
#include "gguf/quants.h"

namespace claa::cuda {
namespace {

// Neighbours of one format and scale are one part.
std::vector<BlockPart> parts_of(const WeightSource& source) {
  std::vector<BlockPart> parts;
  for (const TypedBlocks& blocks : source.blocks) {
    const BlockFormat format = block_format(blocks.type).value();
    if (parts.empty() || parts.back().format != format || parts.back().scale != blocks.scale) {
      BlockPart& part = parts.emplace_back();
      part.format = format, part.inputs = source.inputs;
      part.scale = blocks.scale, part.factor = source.factor;
    }
    parts.back().rows += blocks.rows;
  }
  return parts;
}

// What the numbers of a format are points of; nothing for most.
std::span<const std::byte> grid_of(BlockFormat format) {
  const auto bytes_of = [](const auto& grid) { return std::as_bytes(std::span(grid)); };
  switch (format) {
    case BlockFormat::kIQ1_S:
    case BlockFormat::kIQ1_M:
      return bytes_of(gguf::kGridIq1);
    case BlockFormat::kIQ2_XXS:
      return bytes_of(gguf::kGridIq2Xxs);
    case BlockFormat::kIQ2_XS:
      return bytes_of(gguf::kGridIq2Xs);
    case BlockFormat::kIQ2_S:
      return bytes_of(gguf::kGridIq2S);
    case BlockFormat::kIQ3_XXS:
      return bytes_of(gguf::kGridIq3Xxs);
    case BlockFormat::kIQ3_S:
      return bytes_of(gguf::kGridIq3S);
    default:
      return {};
  }
}
// Bytes of a part: its planes, and its grid behind them.
size_t part_bytes(const BlockPart& part) {
  return block_plane_bytes(part.format, part.rows * part.inputs) + grid_of(part.format).size();
}

// Points a part into memory, and copies its grid there.
void place_part(char* memory, BlockPart& part, cudaStream_t stream) {
  place_planes(memory, part);
  const std::span<const std::byte> grid = grid_of(part.format);
  if (grid.empty()) return;
  char* const to = memory + block_plane_bytes(part.format, part.rows * part.inputs);
  check(cudaMemcpyAsync(to, grid.data(), grid.size(), cudaMemcpyHostToDevice, stream), "upload");
  part.grid = reinterpret_cast<const uint8_t*>(to);
}

// Copies the rows of one entry of the source to row `first` of a part, some at a time.
void upload_rows(const TypedBlocks& blocks, int64_t first, const BlockPart& part, cudaStream_t stream) {
  constexpr size_t kBytesAtOnce = size_t{16} << 20;
  const auto row_blocks = usize(part.inputs) / gguf::block_elements(blocks.type);
  const size_t row_bytes = row_blocks * gguf::block_bytes(blocks.type);
  require(blocks.data.size() == usize(blocks.rows) * row_bytes, "blocks of another size than their rows");
  const auto step = static_cast<int64_t>(std::max<size_t>(1, kBytesAtOnce / row_bytes));
  const Buffer staged = allocate_async(usize(std::min(step, blocks.rows)) * row_bytes, stream);
  for (int64_t row = 0; row < blocks.rows; row += step) {
    const int64_t count = std::min(step, blocks.rows - row);
    check(cudaMemcpyAsync(staged.data(), blocks.data.data() + usize(row) * row_bytes,
                          usize(count) * row_bytes, cudaMemcpyHostToDevice, stream),
          "upload");
    const auto in_row = static_cast<int64_t>(row_blocks);
    repack_blocks(staged.data(), (first + row) * in_row, count * in_row, part, stream);
  }
  check(cudaStreamSynchronize(stream), "upload");
}

// Fails as the source does where it holds a value that is no number.
void check_finite(const WeightSource& source, const std::vector<BlockPart>& parts, cudaStream_t stream) {
  constexpr int kNone = std::numeric_limits<int>::max();
  std::vector<int> rows(parts.size(), kNone);
  const size_t bytes = rows.size() * sizeof(int);
  const Buffer found = allocate_async(bytes, stream);
  check(cudaMemcpyAsync(found.data(), rows.data(), bytes, cudaMemcpyHostToDevice, stream), "upload");
  for (size_t i = 0; i < parts.size(); ++i)
    find_not_finite(parts[i], static_cast<int*>(found.data()) + i, stream);
  check(cudaMemcpyAsync(rows.data(), found.data(), bytes, cudaMemcpyDeviceToHost, stream), "download");
  check(cudaStreamSynchronize(stream), "download");
  int64_t first = 0;
  for (size_t i = 0; i < parts.size(); first += parts[i++].rows) {
    if (rows[i] == kNone) continue;
    std::vector<float> values(usize(source.inputs));
    source.fill(first + rows[i], 1, values.data());
    require(false, "a value that is no number on the device alone");
  }
}

}  // namespace

std::unique_ptr<CudaWeight> prepare_blocks(const WeightSource& source, bool fp8, cudaStream_t stream) {
  auto weight = std::make_unique<CudaWeight>();
  weight->outputs = source.outputs;
  weight->inputs = source.inputs;
  weight->fp8 = fp8;
  weight->resident = true;
  weight->parts = parts_of(source);
  for (const BlockPart& part : weight->parts) weight->bytes += part_bytes(part);
  weight->memory = allocate_async(weight->bytes, stream);
  if (fp8) weight->scales = allocate_async(usize(source.outputs) * sizeof(float), stream);
  weight->bytes += weight->scales.bytes();
  char* memory = static_cast<char*>(weight->memory.data());
  auto* scales = static_cast<float*>(weight->scales.data());
  auto blocks = source.blocks.begin();
  for (BlockPart& part : weight->parts) {
    place_part(memory, part, stream);
    memory += part_bytes(part);
    for (int64_t row = 0; row < part.rows; row += blocks++->rows) upload_rows(*blocks, row, part, stream);
    if (!fp8) continue;
    find_row_scales(part, scales, stream);
    scales += part.rows;
  }
  check_finite(source, weight->parts, stream);
  check_launch("prepare");
  return weight;
}

}  // namespace claa::cuda
