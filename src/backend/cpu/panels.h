// What linear layers on panels of outputs share: weights lie as [panels, units of inputs, panel], so that a
// tile reads them in order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "backend/backend.h"

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

// Weights come from memory once a call: one of `parts` parts of a panel of `bytes` that comes next.
inline void prefetch_part(const void* panel, int64_t bytes, int64_t part, int64_t parts) {
  constexpr int64_t kLine = 64;
  const int64_t share = (bytes + parts - 1) / parts;
  const char* at = static_cast<const char*>(panel) + part * share;
  for (int64_t i = 0; i < std::min(share, bytes - part * share); i += kLine) __builtin_prefetch(at + i, 0, 2);
}

// out [rows, outputs] f32 (+)= products, in tiles of rows and one panel. A kind of linear layer has
//   int64_t panel_bytes() const;                     of its weights
//   const void* panel(int64_t index) const;
//   void multiply(int64_t panel, int64_t first, int64_t rows, float* c, int64_t ldc) const;   stores or adds
// To be called by all threads of a parallel region.
template <class Job>
void multiply_panels(const Job& job, const Tensor& out, int64_t width, bool accumulate) {
  constexpr int64_t kTileRows = 96;  // a panel stays in the first cache for so many
  const int64_t panels = panel_count(out.columns(), width), blocks = (out.rows() + kTileRows - 1) / kTileRows;
  std::vector<float> wide;
#pragma omp for schedule(static)
  for (int64_t item = 0; item < panels * blocks; ++item) {
    const int64_t panel = item / blocks, first = item % blocks * kTileRows;
    const int64_t rows = std::min(kTileRows, out.rows() - first);
    const int64_t columns = std::min(width, out.columns() - panel * width);
    if (panel + 1 < panels) prefetch_part(job.panel(panel + 1), job.panel_bytes(), item % blocks, blocks);
    if (columns == width) {
      job.multiply(panel, first, rows, out.ptr<float>(0, first) + panel * width, out.stride[1]);
      continue;
    }
    wide.resize(static_cast<size_t>(rows * width));
    for (int64_t r = 0; accumulate && r < rows; ++r) {
      std::copy_n(out.ptr<float>(0, first + r) + panel * width, columns, wide.data() + r * width);
    }
    job.multiply(panel, first, rows, wide.data(), width);
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(wide.data() + r * width, columns, out.ptr<float>(0, first + r) + panel * width);
    }
  }
}

}  // namespace claa::cpu
