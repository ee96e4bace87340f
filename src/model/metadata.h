// Reads "<architecture>.<key>" of a file, with limits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/file.h"

namespace claa {

class Metadata {
 public:
  // Of a list of numbers that differ the largest counts if `largest` is set.
  Metadata(const gguf::File& file, std::string prefix, bool largest = false)
      : file_(file), prefix_(std::move(prefix)), largest_(largest) {}

  // Throw Error{kCorruptFile} for numbers outside 1..maximum, required() also for a key that is missing, and
  // Error{kUnsupported} for a list of numbers that differ.
  int64_t required(std::string_view key, int64_t maximum) const;
  int64_t optional(std::string_view key, int64_t fallback, int64_t maximum) const;
  // A number for each layer: of a list, or the same one. Throws kCorruptFile for a missing key, a list of
  // another length and numbers outside 1..maximum.
  std::vector<int64_t> by_layer(std::string_view key, int64_t layers, int64_t maximum) const;
  double number(std::string_view key, double fallback) const;
  std::string text(std::string_view key) const;
  bool flag(std::string_view key, bool fallback) const;

 private:
  std::string full(std::string_view key) const;
  // A number, or a list of equal ones, as some converters write what may differ by layer.
  std::optional<uint64_t> value_of(std::string_view key) const;
  int64_t limited(std::string_view key, uint64_t value, int64_t maximum) const;

  const gguf::File& file_;
  std::string prefix_;
  bool largest_;
};

}  // namespace claa
