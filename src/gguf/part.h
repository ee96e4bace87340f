// One GGUF file of a model: all of it, or one of the files that a split model consists of.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gguf/metadata.h"
#include "gguf/tensor_table.h"

namespace claa::gguf {

struct Part {
  std::string name;
  uint32_t version = 0;
  uint64_t alignment = 32;
  Metadata metadata;                // views of the file's bytes
  std::vector<TensorInfo> tensors;  // in file order

  static Part parse(std::span<const std::byte> bytes, const std::string& name);
  std::optional<uint64_t> get_uint(std::string_view key) const;
};

}  // namespace claa::gguf
