// The heads' scores of one prompt with one window and one pooling, in the form that the selection of heads
// needs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/calibration/head_scores.h"
#include "eval/calibration/head_selection.h"

namespace claa::eval {

// Average pooling of a row as the methods do it, with `scratch` of the same length as memory.
void pool_row(std::vector<float>& row, int64_t kernel, std::vector<float>& scratch);

class PooledScores : public HeadScores {
 public:
  // Keeps the first `ranked` tokens of every row. Memory: two bytes per layer, head and ranked token, and
  // four per layer and ranked token.
  PooledScores(const HeadScoresFile& file, size_t window, int64_t kernel, int64_t ranked);
  int layers() const override { return layers_; }
  int heads() const override { return heads_; }
  int64_t tokens() const override { return tokens_; }
  // A head's score is its share of the prompt, times the number of tokens before its window.
  void add_to(int layer, int head, std::span<const float> base, std::span<float> to) const override;
  void published_rule(int layer, int last_layers, std::span<float> to) const override;

 private:
  int layers_, heads_;
  int64_t tokens_;
  std::vector<uint16_t> shares_;  // [layers][heads][tokens]
  std::vector<float> largest_;    // [layers][tokens]: maximum over the KV heads' sums
};

}  // namespace claa::eval
