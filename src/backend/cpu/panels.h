// Reading and packing a weight, panel by panel of its outputs, by all threads.
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

}  // namespace claa::cpu
