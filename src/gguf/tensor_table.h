// The tensor-info section of a GGUF file: names, shapes, types and extents, each checked against the data
// section.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gguf/byte_reader.h"
#include "gguf/file.h"

namespace claa::gguf {

inline constexpr uint64_t kMaxNameBytes = 256;  // the format says 64; some converters exceed it
inline constexpr uint32_t kMaxDims = 4;

struct TensorTable {
  std::vector<TensorInfo> tensors;                     // in file order
  std::unordered_map<std::string_view, size_t> index;  // names, views of the file's bytes

  // Reads `count` infos from `reader` and lays the tensors into `bytes`, the whole file. `alignment` is a
  // power of two.
  static TensorTable parse(ByteReader& reader, std::span<const std::byte> bytes, uint64_t count,
                           uint64_t alignment);
};

}  // namespace claa::gguf
