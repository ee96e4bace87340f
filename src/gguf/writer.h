// A small GGUF writer for tests and tools. It holds everything in memory until the file is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gguf/file.h"

namespace claa::gguf {

class Writer {
 public:
  // The alternative decides the type in the file: write uint32_t{5} for a u32.
  using Value =
      std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t, float, double,
                   bool, std::string, std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>,
                   std::vector<int16_t>, std::vector<uint32_t>, std::vector<int32_t>, std::vector<uint64_t>,
                   std::vector<int64_t>, std::vector<float>, std::vector<double>, std::vector<bool>,
                   std::vector<std::string>>;

  // `alignment`: a power of two from 8 to 65536; general.alignment is written when it is not 32.
  explicit Writer(uint32_t version = 3, uint32_t alignment = 32);

  // Throws kInvalidArgument for a key that was added before.
  void add(const std::string& key, const Value& value);
  // A value already encoded as in the file, e.g. a nested array.
  void add_raw(const std::string& key, ValueType type, std::span<const std::byte> encoded);
  // Copies `data`. Throws kInvalidArgument for a name that was added before or when data is not shape x type.
  void add_tensor(const std::string& name, const std::vector<uint64_t>& shape, TensorType type,
                  std::span<const std::byte> data);

  std::vector<std::byte> to_bytes() const;
  void write(const std::string& path) const;  // throws kIo

  // The same model split into files: the first has the metadata, and each the given number of tensors.
  std::vector<Writer> split(const std::vector<size_t>& tensors_of_each) const;

 private:
  struct Pair {
    std::string key;
    ValueType type;
    std::vector<std::byte> encoded;
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> shape;
    TensorType type;
    std::vector<std::byte> data;
  };

  uint32_t version_;
  uint32_t alignment_;
  std::vector<Pair> pairs_;
  std::vector<Tensor> tensors_;
};

}  // namespace claa::gguf
