// The tensor-info section of a GGUF file: names, shapes, types and extents, each checked against the data
// section.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gguf/byte_reader.h"
#include "gguf/file.h"

namespace claa::gguf {

inline constexpr uint64_t kMaxNameBytes = 256;  // the format says 64; some converters exceed it
inline constexpr uint32_t kMaxDims = 4;

// Reads `count` infos from `reader` and lays the tensors into `bytes`, the whole file, in its order.
// `alignment` is a power of two.
std::vector<TensorInfo> parse_tensors(ByteReader& reader, std::span<const std::byte> bytes, uint64_t count,
                                      uint64_t alignment);

}  // namespace claa::gguf
