#include "eval/calibration/pooled_scores.h"

#include <algorithm>
#include <numeric>

#include "backend/host_ops.h"
#include "core/half.h"
#include "core/usize.h"

namespace claa::eval {

void pool_row(std::vector<float>& row, int64_t kernel, std::vector<float>& scratch) {
  scratch.resize(row.size());
  host::pool(row.data(), static_cast<int64_t>(row.size()), PoolKind::kAverage, kernel, scratch.data());
  row.swap(scratch);
}

PooledScores::PooledScores(const HeadScoresFile& file, size_t window, int64_t kernel, int64_t ranked)
    : layers_(file.layers()), heads_(file.heads()), tokens_(ranked) {
  const auto before_window = usize(file.tokens() - file.windows()[window]);
  const auto count = usize(ranked);
  const int group = heads_ / file.kv_heads();
  std::vector<float> row(before_window), scratch, sum(count);
  shares_.reserve(usize(layers_) * usize(heads_) * count);
  largest_.assign(usize(layers_) * count, 0.0f);
  for (int layer = 0; layer < layers_; ++layer) {
    float* largest = &largest_[usize(layer) * count];
    for (int head = 0; head < heads_; ++head) {
      file.read(window, layer, head, row);
      pool_row(row, kernel, scratch);
      if (head % group == 0) std::fill(sum.begin(), sum.end(), 0.0f);
      for (size_t t = 0; t < count; ++t) sum[t] += row[t];
      if ((head + 1) % group == 0) {
        for (size_t t = 0; t < count; ++t) largest[t] = std::max(largest[t], sum[t]);
      }
      const float total = std::accumulate(row.begin(), row.end(), 0.0f);
      const float unit = total > 0 ? static_cast<float>(before_window) / total : 0;
      for (size_t t = 0; t < count; ++t) shares_.push_back(to_half(row[t] * unit));
    }
  }
}

void PooledScores::add_to(int layer, int head, std::span<const float> base, std::span<float> to) const {
  const uint16_t* row = &shares_[usize((int64_t{layer} * heads_ + head) * tokens_)];
  for (size_t t = 0; t < to.size(); ++t) to[t] = base[t] + half_to_float(row[t]);
}

void PooledScores::published_rule(int layer, int last_layers, std::span<float> to) const {
  std::fill(to.begin(), to.end(), 0.0f);  // no score is lower
  for (int l = std::max(0, layer - last_layers + 1); l <= layer; ++l) {
    const float* row = &largest_[usize(l * tokens_)];
    for (size_t t = 0; t < to.size(); ++t) to[t] = std::max(to[t], row[t]);
  }
}

}  // namespace claa::eval
