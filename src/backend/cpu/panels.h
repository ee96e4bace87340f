// What linear layers of our own share: weights lie in panels of outputs, which are packed and multiplied by
// all threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/aligned.h"

namespace claa::cpu {

inline int64_t panel_count(int64_t outputs, int64_t width) {
  return (outputs + width - 1) / width;
}

// Calls pack(rows, panel, count) for every panel of `width` outputs, rows f32 [count, inputs].
template <class Pack>
void pack_panels(const WeightSource& source, int64_t width, int threads, const Pack& pack) {
  std::vector<float> probe(static_cast<size_t>(source.inputs));
  source.fill(0, 1, probe.data());  // what cannot be read is refused here: threads below must not throw
  const int64_t panels = panel_count(source.outputs, width);
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> rows(static_cast<size_t>(width * source.inputs));
#pragma omp for schedule(static)
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t count = std::min(width, source.outputs - panel * width);
      source.fill(panel * width, count, rows.data());
      pack(rows.data(), panel, count);
    }
  }
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

// A product by all threads, in tiles of at most kTileRows rows, for which a panel stays in the first cache:
//   run(scratch, group, first row, rows)
// with a Scratch of each thread on its stack.
constexpr int64_t kTileRows = 96;
template <class Scratch, class Run>
void for_tiles(int threads, int64_t rows, int64_t groups, const Run& run) {
#pragma omp parallel for schedule(static, 1) num_threads(threads)
  for (int index = 0; index < threads; ++index) {
    const Part part = part_of(rows, groups, index, threads);
    Scratch scratch;
    for (int64_t group = part.first_group; group < part.end_group; ++group) {
      for (int64_t first = part.first_row; first < part.end_row; first += kTileRows) {
        run(scratch, group, first, std::min(kTileRows, part.end_row - first));
      }
    }
  }
}

// The outputs of a tile, at most kTileColumns of each row.
constexpr int64_t kTileColumns = 256;
struct OutputTile {
  alignas(kLine) std::array<float, kTileRows * kTileColumns> sums;
};
struct NoScratch {};

// What becomes of a tile of a product: sums [rows, head size] f32 of one head, for the rows from `first` on.
using WriteHead = std::function<void(int64_t head, int64_t first, int64_t rows, const float* sums)>;

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
  std::vector<float> wide(static_cast<size_t>(rows * width));
  for (int64_t r = 0; accumulate && r < rows; ++r) {
    std::copy_n(out.ptr<float>(0, row + r) + column, columns, wide.data() + r * width);
  }
  multiply(wide.data(), width);
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(wide.data() + r * width, columns, out.ptr<float>(0, row + r) + column);
  }
}

}  // namespace claa::cpu
