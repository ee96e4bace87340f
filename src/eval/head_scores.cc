#include "eval/head_scores.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/check.h"
#include "core/fingerprint.h"
#include "core/output_file.h"
#include "gguf/half.h"

static_assert(std::endian::native == std::endian::little, "the file format is little endian");

namespace claa::eval {
namespace {

constexpr uint32_t kVersion = 1;

struct Header {
  char magic[8] = {'C', 'L', 'A', 'A', 'H', 'E', 'A', 'D'};
  uint32_t version = kVersion, layers = 0, heads = 0, zero = 0;
  uint64_t tokens = 0, checksum = 0;
};
static_assert(sizeof(Header) == 40);

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

void HeadScoresWriter::add_layer(std::span<const float> scores) {
  require(static_cast<int64_t>(scores.size()) == heads_ * tokens_, "a layer has one score a head and token");
  for (const float score : scores) values_.push_back(to_half(score * static_cast<float>(tokens_)));
}

void HeadScoresWriter::write(const std::string& path) const {
  Header header;
  header.heads = static_cast<uint32_t>(heads_);
  header.tokens = static_cast<uint64_t>(tokens_);
  header.layers = static_cast<uint32_t>(static_cast<int64_t>(values_.size()) / (heads_ * tokens_));
  header.checksum = fingerprint(std::as_bytes(std::span(values_)));
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.append(reinterpret_cast<const char*>(values_.data()), values_.size() * sizeof(uint16_t));
  OutputFile(path).commit(bytes);
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
  if (header.version != kVersion)
    corrupt(fmt::format("its version is {}, this program reads {}", header.version, kVersion));
  constexpr uint32_t kMost = 4096;
  constexpr uint64_t kMostTokens = uint64_t{1} << 32;
  const bool sane = header.layers >= 1 && header.layers <= kMost && header.heads >= 1 &&
                    header.heads <= kMost && header.tokens >= 1 && header.tokens <= kMostTokens;
  const std::span<const std::byte> payload = bytes.subspan(sizeof(header));
  if (!sane || payload.size() != uint64_t{header.layers} * header.heads * header.tokens * sizeof(uint16_t)) {
    corrupt(fmt::format("it announces {} layers, {} heads and {} tokens but holds {} bytes", header.layers,
                        header.heads, header.tokens, bytes.size()));
  }
  if (fingerprint(payload) != header.checksum) corrupt("its checksum is wrong");
  layers_ = static_cast<int>(header.layers);
  heads_ = static_cast<int>(header.heads);
  tokens_ = static_cast<int64_t>(header.tokens);
  values_ = reinterpret_cast<const uint16_t*>(payload.data());
}

void HeadScoresFile::add_to(int layer, int head, std::span<const float> base, std::span<float> to) const {
  const uint16_t* row = values_ + (static_cast<int64_t>(layer) * heads_ + head) * tokens_;
  for (size_t t = 0; t < to.size(); ++t) to[t] = base[t] + gguf::half_to_float(row[t]);
}

}  // namespace claa::eval
