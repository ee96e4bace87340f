// Reader of safetensors files over untrusted bytes: eight bytes of length, a header in JSON, and the data.
// Format: https://github.com/huggingface/safetensors
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace claa {

struct SafeTensor {
  std::string name;
  std::string dtype;            // "BF16", as the file has it
  std::vector<uint64_t> shape;  // the last is the contiguous dimension
  std::span<const std::byte> data;
};

// The tensors of a file, in the order of their data. `name` is the file's, for messages. Throws kCorruptFile
// where the header is no header, a tensor is named twice, is not inside the data, overlaps another or is no
// array of its type.
std::vector<SafeTensor> parse_safetensors(std::span<const std::byte> bytes, const std::string& name);

}  // namespace claa
