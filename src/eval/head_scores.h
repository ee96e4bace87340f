// Scores of every query head for one prompt, as half floats in a file of their own: two bytes a layer, head
// and token, read through the page cache, so that a calibration over many prompts needs little memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/file_map.h"
#include "eval/head_selection.h"

namespace claa::eval {

// Nearest half float, ties to even; too large ones become the largest, 65504. For numbers that are not
// negative.
uint16_t to_half(float value);

// Collects [layers][heads][tokens], one layer after the other, and writes them.
//
// File format, little endian: "CLAAHEAD", u32 version (1), u32 layers, u32 heads, u32 zero, u64 tokens, u64
// XXH3 of the scores, then f16 scores[layers][heads][tokens]. A head's scores sum to 1 over the prompt; they
// are stored times `tokens`, so that those of long prompts do not vanish in a half float.
class HeadScoresWriter {
 public:
  HeadScoresWriter(int heads, int64_t tokens) : heads_(heads), tokens_(tokens) {}
  void add_layer(std::span<const float> scores);  // [heads][tokens], each head's sum is 1 (or 0)
  // The file appears whole or not at all.
  void write(const std::string& path) const;

 private:
  int heads_;
  int64_t tokens_;
  std::vector<uint16_t> values_;
};

class HeadScoresFile : public HeadScores {
 public:
  // Throws Error: kNotFound, kIo, kCorruptFile (truncated, checksum, no such file format).
  explicit HeadScoresFile(const std::string& path);
  int layers() const override { return layers_; }
  int heads() const override { return heads_; }
  int64_t tokens() const override { return tokens_; }
  // to[t] = base[t] + score of the head, times tokens().
  void add_to(int layer, int head, std::span<const float> base, std::span<float> to) const override;

 private:
  FileMap map_;
  int layers_ = 0, heads_ = 0;
  int64_t tokens_ = 0;
  const uint16_t* values_ = nullptr;  // inside map_
};

}  // namespace claa::eval
