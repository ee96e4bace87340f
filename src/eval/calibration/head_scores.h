// Window scores of every query head for one prompt, as half floats in a separate file: two bytes per window
// size, layer, head and token, read through the page cache, so that a calibration over many prompts needs
// little memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/file_map.h"

namespace claa::eval {

inline constexpr uint32_t kHeadScoresVersion = 2;  // of the file format below

// The nearest half float, ties to even; larger values become the largest, 65504. For numbers that are not
// negative.
uint16_t to_half(float value);

// Collects, for each window size, rows [layers][heads][tokens - window]: the attention of the window's
// queries, summed over them, neither pooled nor normalised (spec.md 2.2, steps 1 to 4). A head's share of the
// prompt and the sums over KV groups of the published rule both follow from these, with any pooling.
//
// File format, little endian: "CLAAHEAD", u32 version (2), u32 layers, u32 heads, u32 KV heads, u32 windows,
// u32 zero, u64 tokens of the prompt, u64 XXH3 of the rest; u32 size[windows], f32
// unit[windows][layers][heads], then for each window f16 scores[layers][heads][tokens - size]. A score is its
// half times the row's unit, which makes the largest of a row 32768, so that neither long prompts nor heads
// that look at one token lose all digits of a row.
class HeadScoresWriter {
 public:
  HeadScoresWriter(int heads, int kv_heads, int64_t tokens, std::vector<int64_t> windows);
  // `scores` is [heads][tokens - windows[window]], not negative. Every window gets the same layers, in order.
  void add_layer(size_t window, std::span<const float> scores);
  // The file appears whole or not at all.
  void write(const std::string& path) const;

 private:
  struct Window {
    std::vector<float> units;
    std::vector<uint16_t> values;
  };
  int heads_, kv_heads_;
  int64_t tokens_;
  std::vector<int64_t> windows_;
  std::vector<Window> collected_;
};

class HeadScoresFile {
 public:
  // Throws Error: kNotFound, kIo, kCorruptFile (truncated, wrong checksum, another file format or version).
  explicit HeadScoresFile(const std::string& path);
  int layers() const { return layers_; }
  int heads() const { return heads_; }
  int kv_heads() const { return kv_heads_; }
  int64_t tokens() const { return tokens_; }  // tokens of the prompt
  const std::vector<int64_t>& windows() const { return windows_; }
  // `out` is [tokens() - windows()[window]]: the scores as they were added, to 11 bits.
  void read(size_t window, int layer, int head, std::span<float> out) const;

 private:
  FileMap map_;
  int layers_ = 0, heads_ = 0, kv_heads_ = 0;
  int64_t tokens_ = 0;
  std::vector<int64_t> windows_;
  const float* units_ = nullptr;           // inside map_
  std::vector<const uint16_t*> values_{};  // by window, inside map_
};

}  // namespace claa::eval
