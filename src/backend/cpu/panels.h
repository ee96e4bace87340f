// The common part of our own linear layers: weights lie in panels of outputs, which are packed and multiplied
// by all threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/aligned.h"
#include "core/threads.h"
#include "core/usize.h"

namespace claa::cpu {

inline int64_t panel_count(int64_t outputs, int64_t width) {
  return (outputs + width - 1) / width;
}
constexpr int64_t kMostPanelColumns = 32;  // of the widest vectors

// Calls pack(rows, panel, count, thread) for every panel of `width` outputs, rows f32 [width, inputs], of
// which those from `count` on are zero.
template <class Pack>
void pack_panels(const WeightSource& source, int64_t width, Threads& threads, const Pack& pack) {
  const int64_t size = width * source.inputs;
  std::vector<float> scratch(usize(threads.count() * size));
  threads.run(panel_count(source.outputs, width), [&](int64_t panel, int thread) {
    float* rows = scratch.data() + thread * size;
    const int64_t count = std::min(width, source.outputs - panel * width);
    source.fill(panel * width, count, rows);
    std::fill(rows + count * source.inputs, rows + size, 0.0f);
    pack(rows, panel, count, thread);
  });
}

// One of `parts` parts of a product of `rows` rows and `groups` groups of panels, of about the same size.
// Parts are rows, which the same thread norms and rotates, down to kPartRows; from there on they share the
// groups.
struct Part {
  int64_t first_row, end_row, first_group, end_group;
};
constexpr int64_t kPartRows = 96;
inline Part part_of(int64_t rows, int64_t groups, int64_t part, int64_t parts) {
  int64_t by_rows = std::clamp<int64_t>(rows / kPartRows, 1, parts);
  while (parts % by_rows != 0) --by_rows;
  const int64_t by_groups = parts / by_rows, row = part / by_groups, group = part % by_groups;
  return {rows * row / by_rows, rows * (row + 1) / by_rows, groups * group / by_groups,
          groups * (group + 1) / by_groups};
}

// How the threads share a product. Parts of rows read all panels of their own. Where panels are unpacked from
// blocks, each is read by one thread alone, for all rows.
enum class Sharing : uint8_t { kRows, kPanels };

// A product by all threads, in tiles of at most kTileRows rows, for which a panel stays in the first cache:
//   panels = find(group, thread), run(scratch, panels, group, first row, rows)
// with a Scratch of each thread on its stack. Few rows are a step of decoding, whose parts are smaller, so
// that another thread can take over what a thread without a core has not begun.
constexpr int64_t kTileRows = 96;
template <class Scratch, class Find, class Run>
void for_tiles(Threads& threads, Sharing sharing, int64_t rows, int64_t groups, const Find& find,
               const Run& run) {
  constexpr int64_t kFewRows = 4, kPartsOfThread = 4;
  const bool many = rows > kFewRows && sharing == Sharing::kRows;
  const int64_t parts = many ? threads.count() : std::min(groups, kPartsOfThread * threads.count());
  threads.run(parts, [&](int64_t index, int thread) {
    const Part part = many ? part_of(rows, groups, index, parts)
                           : Part{0, rows, groups * index / parts, groups * (index + 1) / parts};
    Scratch scratch;
    for (int64_t group = part.first_group; group < part.end_group; ++group) {
      const auto panels = find(group, thread);
      for (int64_t first = part.first_row; first < part.end_row; first += kTileRows) {
        run(scratch, panels, group, first, std::min(kTileRows, part.end_row - first));
      }
    }
  });
}

// The outputs of a tile, at most kTileColumns of each row.
constexpr int64_t kTileColumns = 256;
struct OutputTile {
  alignas(kLine) std::array<float, kTileRows * kTileColumns> sums;
};
struct NoScratch {};

// Columns of a product that a kernel is called for: two panels of the widest vectors.
constexpr int64_t kMostColumns = 64;

// Calls multiply(to, stride) for the columns [column, column + width) of rows of f32; what of them lies
// beyond the last column of `out` goes to memory of its own.
template <class Multiply>
void with_full_panel(const Tensor& out, int64_t row, int64_t rows, int64_t column, int64_t width,
                     bool accumulate, const Multiply& multiply) {
  const int64_t columns = std::min(width, out.columns() - column);
  if (columns == width) {
    multiply(out.ptr<float>(0, row) + column, out.stride[1]);
    return;
  }
  alignas(kLine) std::array<float, kTileRows * kMostColumns> wide;
  require(rows <= kTileRows && width <= kMostColumns, "a tile of a product is too large");
  if (accumulate) std::fill_n(wide.data(), rows * width, 0.0f);
  for (int64_t r = 0; accumulate && r < rows; ++r) {
    std::copy_n(out.ptr<float>(0, row + r) + column, columns, wide.data() + r * width);
  }
  multiply(wide.data(), width);
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(wide.data() + r * width, columns, out.ptr<float>(0, row + r) + column);
  }
}

}  // namespace claa::cpu
