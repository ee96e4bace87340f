// Weights as blocks of their file, with random numbers and small scales.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/weight.h"
#include "conformance/backend_support.h"
#include "core/usize.h"
#include "gguf/quants.h"

namespace claa::test {

struct BlockFormatCase {
  gguf::TensorType type;
  std::vector<int> scales;  // positions of the scales of 16 bits in a block
};

// The formats that have kernels of their own.
inline const std::vector<BlockFormatCase>& formats_with_kernels() {
  using enum gguf::TensorType;
  static const std::vector<BlockFormatCase> formats = {
      {kQ8_0, {0}},      {kQ4_0, {0}},    {kQ4_1, {0, 2}}, {kQ5_0, {0}},    {kQ5_1, {0, 2}},
      {kQ2_K, {80, 82}}, {kQ3_K, {108}},  {kQ4_K, {0, 2}}, {kQ5_K, {0, 2}}, {kQ6_K, {208}},
      {kIQ4_NL, {0}},    {kIQ4_XS, {0}},  {kMXFP4, {}},    {kNVFP4, {}},    {kTQ1_0, {52}},
      {kTQ2_0, {64}},    {kIQ1_S, {0}},   {kIQ1_M, {}},    {kIQ2_XXS, {0}}, {kIQ2_XS, {0}},
      {kIQ2_S, {0}},     {kIQ3_XXS, {0}}, {kIQ3_S, {0}},   {kF16, {0}},     {kBF16, {0}}};
  return formats;
}

// Lengths of rows that both formats have: one block, and if possible such that they end within a segment and
// within a group of eight blocks.
inline std::vector<int64_t> row_lengths(const BlockFormatCase& a, const BlockFormatCase& b) {
  const uint32_t elements = std::max(gguf::block_elements(a.type), gguf::block_elements(b.type));
  if (elements > 64) return {256, 768};
  return elements > 32 ? std::vector<int64_t>{64, 192, 704} : std::vector<int64_t>{32, 96, 608};
}

// Those that a GPU has kernels for.
inline std::vector<BlockFormatCase> gpu_formats() {
  const std::vector<BlockFormatCase>& formats = formats_with_kernels();
  return {formats.begin(), formats.begin() + static_cast<int>(BlockFormat::kF16)};
}

// Different factors of columns.
inline std::shared_ptr<const std::vector<float>> some_factors(int64_t columns) {
  std::vector<float> factors;
  for (int64_t i = 0; i < columns; ++i) factors.push_back(0.25f + 0.01f * static_cast<float>(i % 150));
  return std::make_shared<const std::vector<float>>(std::move(factors));
}

// A weight whose parts have the same number of rows each; it owns the blocks of its source.
class BlockSource {
 public:
  BlockSource(const std::vector<BlockFormatCase>& parts, int64_t rows, int64_t inputs, uint64_t seed)
      : random_(seed) {
    source.outputs = rows * static_cast<int64_t>(parts.size());
    source.inputs = inputs;
    memory_.reserve(parts.size());
    for (const BlockFormatCase& part : parts) {
      const size_t elements = gguf::block_elements(part.type), bytes = gguf::block_bytes(part.type);
      std::vector<std::byte>& blocks = memory_.emplace_back(usize(rows * inputs) / elements * bytes);
      for (std::byte& byte : blocks) byte = static_cast<std::byte>(random_() >> 24);
      for (size_t at = 0; at < blocks.size(); at += bytes) {
        for (const int scale : part.scales) set_half(blocks.data() + at + scale);
        if (part.type == gguf::TensorType::kMXFP4) blocks[at] = static_cast<std::byte>(112 + random_() % 8);
        if (part.type == gguf::TensorType::kIQ1_M) set_nibbles(blocks.data() + at + 48);
        if (part.type == gguf::TensorType::kBF16) set_bf16(blocks.data() + at);
      }
      source.blocks.push_back({part.type, rows, blocks});
    }
    source.fill = [this](int64_t first, int64_t count, float* to) {
      for (int64_t r = first; r < first + count; ++r, to += source.inputs) fill_row(r, to);
    };
  }
  BlockSource(const BlockSource&) = delete;
  BlockSource& operator=(const BlockSource&) = delete;

  std::vector<float> row(int64_t index) const {
    std::vector<float> values(usize(source.inputs));
    source.fill(index, 1, values.data());
    return values;
  }
  std::byte* block(size_t part, size_t at) { return memory_[part].data() + at; }

  WeightSource source;

 private:
  // From 2^-10 to 2^-8, of both signs.
  void set_half(std::byte* to) {
    const auto bits = static_cast<uint32_t>(random_());
    const auto half = static_cast<uint16_t>((bits & 0x83ffu) | (5u + (bits >> 10 & 1u)) << 10);
    std::memcpy(to, &half, sizeof(half));
  }
  void set_bf16(std::byte* to) {
    const auto bits = static_cast<uint32_t>(random_());
    const auto value = static_cast<uint16_t>((bits & 0x807fu) | (117u + (bits >> 10 & 1u)) << 7);
    std::memcpy(to, &value, sizeof(value));
  }
  // A half in the highest nibbles of four words.
  void set_nibbles(std::byte* to) {
    uint16_t half, words[4];
    set_half(reinterpret_cast<std::byte*>(&half));
    std::memcpy(words, to, sizeof(words));
    for (int i = 0; i < 4; ++i)
      words[i] = static_cast<uint16_t>((words[i] & 0x0fffu) | (half >> (4 * i) & 15u) << 12);
    std::memcpy(to, words, sizeof(words));
  }
  void fill_row(int64_t index, float* to) const {
    const auto rows = source.blocks.front().rows;
    const TypedBlocks& part = source.blocks[usize(index / rows)];
    const size_t bytes = part.data.size() / usize(rows);
    const std::span<float> values(to, usize(source.inputs));
    gguf::dequantize(part.type, part.data.subspan(usize(index % rows) * bytes, bytes), values);
    for (float& value : values) value *= part.scale;
    for (size_t i = 0; source.column_factors != nullptr && i < values.size(); ++i)
      values[i] *= (*source.column_factors)[i];
    for (float& value : values) value *= source.factor;
  }

  std::mt19937 random_;
  std::vector<std::vector<std::byte>> memory_;
};

// A device at an instruction set; the weights of "int8" and "bf16" are rounded further.
struct ResidentDevice {
  std::string isa, dtype;
};
inline std::unique_ptr<Backend> make_resident(const ResidentDevice& device, bool resident = true,
                                              int threads = 2) {
  BackendOptions options = backend_options("cpu", device.dtype, threads, device.isa);
  options.resident = resident;
  return make_backend(options);
}
inline std::vector<ResidentDevice> resident_devices(const std::vector<std::string>& dtypes) {
  std::vector<ResidentDevice> listed;
  for (const std::string& dtype : dtypes) {
    for (const char* isa : {"", "avx512", "avx2", "avx2bf16"}) {
      if (dtype != "bf16" && std::string(isa) == "avx2bf16") continue;
      if (is_a_device_of_its_own(backend_options("cpu", dtype, 1, isa))) listed.push_back({isa, dtype});
    }
  }
  return listed;
}
inline std::string resident_name(const testing::TestParamInfo<ResidentDevice>& info) {
  return info.param.dtype + "_" + (info.param.isa.empty() ? "best" : info.param.isa);
}

inline void expect_same(const Array& want, const Array& got, const std::string& what) {
  EXPECT_EQ(std::memcmp(want.bytes(), got.bytes(), want.tensor.bytes()), 0) << what;
}

}  // namespace claa::test
