#include "eval/calibration/head_scores.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/check.h"
#include "core/fingerprint.h"
#include "core/half.h"
#include "core/output_file.h"
#include "core/usize.h"

static_assert(std::endian::native == std::endian::little, "the file format is little endian");

namespace claa::eval {
namespace {

struct Header {
  char magic[8] = {'C', 'L', 'A', 'A', 'H', 'E', 'A', 'D'};
  uint32_t version = kHeadScoresVersion, layers = 0, heads = 0, kv_heads = 0, windows = 0, zero = 0;
  uint64_t tokens = 0, checksum = 0;
};
static_assert(sizeof(Header) == 48);

constexpr float kLargestHalf = 32768;  // the largest of a row

template <class T>
void append(std::string& bytes, const std::vector<T>& values) {
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

}  // namespace

uint16_t to_half(float value) {
  constexpr float kLargest = 65504, kSmallestNormal = 0x1p-14f;
  if (!(value > 0)) return 0;
  value = std::min(value, kLargest);
  if (value < kSmallestNormal) {
    // Adding 2^-1 leaves just the bits of a subnormal half, rounded, at the low end of the fraction.
    return static_cast<uint16_t>(std::bit_cast<uint32_t>(value + 0.5f) & 0x7ff);
  }
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = bits + 0xfff + (bits >> 13 & 1);
  return static_cast<uint16_t>((rounded >> 13) - ((127 - 15) << 10));
}

HeadScoresWriter::HeadScoresWriter(int heads, int kv_heads, int64_t tokens, std::vector<int64_t> windows)
    : heads_(heads),
      kv_heads_(kv_heads),
      tokens_(tokens),
      windows_(std::move(windows)),
      collected_(windows_.size()) {}

void HeadScoresWriter::add_layer(size_t window, std::span<const float> scores) {
  const auto tokens = usize(tokens_ - windows_[window]);
  require(scores.size() == usize(heads_) * tokens, "a layer has one score per head and token");
  Window& to = collected_[window];
  for (size_t h = 0; h < usize(heads_); ++h) {
    const std::span<const float> row = scores.subspan(h * tokens, tokens);
    const float largest = *std::max_element(row.begin(), row.end());
    const float unit = largest > 0 ? largest / kLargestHalf : 1;
    to.units.push_back(unit);
    for (const float score : row) to.values.push_back(to_half(score / unit));
  }
}

void HeadScoresWriter::write(const std::string& path) const {
  Header header;
  header.heads = static_cast<uint32_t>(heads_);
  header.kv_heads = static_cast<uint32_t>(kv_heads_);
  header.tokens = static_cast<uint64_t>(tokens_);
  header.layers = static_cast<uint32_t>(collected_.front().units.size()) / header.heads;
  header.windows = static_cast<uint32_t>(windows_.size());
  std::string payload;
  append(payload, std::vector<uint32_t>(windows_.begin(), windows_.end()));
  for (const Window& window : collected_) append(payload, window.units);
  for (const Window& window : collected_) append(payload, window.values);
  header.checksum = fingerprint(std::as_bytes(std::span(payload)));
  OutputFile(path).commit(std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + payload);
}

HeadScoresFile::HeadScoresFile(const std::string& path) : map_(path) {
  const std::span<const std::byte> bytes = map_.bytes();
  const auto corrupt = [&](const std::string& what) {
    fail(ErrorCode::kCorruptFile,
         "'{}' holds no usable head scores: {}; collect them again in another folder", path, what);
  };
  Header header;
  if (bytes.size() < sizeof(header)) corrupt(fmt::format("it has only {} bytes", bytes.size()));
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, Header{}.magic, sizeof(header.magic)) != 0)
    corrupt("it does not begin with CLAAHEAD");
  if (header.version != kHeadScoresVersion)
    corrupt(fmt::format("its version is {}, this program reads {}", header.version, kHeadScoresVersion));
  const std::span<const std::byte> payload = bytes.subspan(sizeof(header));
  constexpr uint32_t kMost = 4096;
  constexpr uint64_t kMostTokens = uint64_t{1} << 32, kMostWindows = 64;  // the sum below stays within 2^63
  bool sane = header.layers >= 1 && header.layers <= kMost && header.heads >= 1 && header.heads <= kMost &&
              header.kv_heads >= 1 && header.heads % header.kv_heads == 0 && header.tokens <= kMostTokens &&
              header.windows >= 1 && header.windows <= kMostWindows &&
              payload.size() >= header.windows * sizeof(uint32_t);
  std::vector<uint32_t> sizes(sane ? header.windows : 0);
  const uint64_t rows = uint64_t{header.layers} * header.heads;
  const uint64_t scores_at = sizes.size() * (sizeof(uint32_t) + rows * sizeof(float));
  uint64_t expected = scores_at;
  std::memcpy(sizes.data(), payload.data(), sizes.size() * sizeof(uint32_t));
  for (const uint32_t size : sizes) {
    sane = sane && size >= 1 && size <= kMost && size < header.tokens;
    if (sane) expected += rows * (header.tokens - size) * sizeof(uint16_t);
  }
  if (!sane || payload.size() != expected) {
    corrupt(fmt::format("it announces {} windows, {} layers, {} heads and {} tokens but holds {} bytes",
                        header.windows, header.layers, header.heads, header.tokens, bytes.size()));
  }
  if (fingerprint(payload) != header.checksum) corrupt("its checksum is wrong");
  layers_ = static_cast<int>(header.layers);
  heads_ = static_cast<int>(header.heads);
  kv_heads_ = static_cast<int>(header.kv_heads);
  tokens_ = static_cast<int64_t>(header.tokens);
  windows_.assign(sizes.begin(), sizes.end());
  units_ = reinterpret_cast<const float*>(payload.data() + sizes.size() * sizeof(uint32_t));
  const std::byte* at = payload.data() + scores_at;
  for (const uint32_t size : sizes) {
    values_.push_back(reinterpret_cast<const uint16_t*>(at));
    at += rows * (header.tokens - size) * sizeof(uint16_t);
  }
}

void HeadScoresFile::read(size_t window, int layer, int head, std::span<float> out) const {
  const int64_t row = int64_t{layer} * heads_ + head, tokens = tokens_ - windows_[window];
  const float unit = units_[static_cast<int64_t>(window) * layers_ * heads_ + row];
  const uint16_t* from = values_[window] + row * tokens;
  for (size_t t = 0; t < out.size(); ++t) {
    const float score = half_to_float(from[t]) * unit;
    out[t] = score > 0 ? score : 0;  // no file can make a NaN, which has no order
  }
}

}  // namespace claa::eval
