// Block formats of GGUF tensors, and their dequantisation to f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "gguf/file.h"

namespace claa::gguf {

bool is_supported(uint32_t raw_type);         // a TensorType this library can read
std::string_view type_name(TensorType type);  // "Q4_1"
// Name of a type number of the format, also of those that this library cannot read; "unknown" for other
// numbers.
std::string_view raw_type_name(uint32_t raw_type);
std::string supported_types();             // "F32, F16, ...", for messages
std::span<const TensorType> all_types();   // every type that this library can read in GGUF files
uint32_t block_elements(TensorType type);  // 1, 32, 64 or 256
uint32_t block_bytes(TensorType type);

// Dequantises whole blocks. blocks.size() must be out.size() / block_elements * block_bytes; throws kInternal
// otherwise. Agrees bit for bit with the f32 arithmetic of the gguf Python package (tests/gguf).
void dequantize(TensorType type, std::span<const std::byte> blocks, std::span<float> out);
// Whole rows (of shape[0] values) of a tensor from `first` on, as many as `out` holds, times the tensor's
// scales.
void dequantize_rows(const TensorInfo& tensor, uint64_t first, std::span<float> out);

}  // namespace claa::gguf
