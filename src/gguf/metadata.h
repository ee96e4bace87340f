// The key-value section of a GGUF file: one checked pass that keeps views, and conversions to the caller's
// types.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gguf/byte_reader.h"
#include "gguf/file.h"

namespace claa::gguf {

inline constexpr uint64_t kMaxStringBytes = uint64_t{64} << 20;  // chat templates and merges are far smaller
inline constexpr uint64_t kMaxKeyBytes = 65535;                  // the format's own limit
inline constexpr uint64_t kMaxArrayItems = uint64_t{1} << 24;    // vocabularies are below 2^20
inline constexpr int kMaxArrayDepth = 4;

struct Value {
  std::string_view key;
  ValueType type = ValueType::kU8;
  ValueType item_type = ValueType::kU8;  // arrays only
  uint64_t count = 0;                    // items, arrays only
  uint64_t offset = 0;                   // position of `bytes` in the file
  std::span<const std::byte> bytes =
      {};  // a scalar, the characters of a string, or an array's items as stored
};

class Metadata {
 public:
  // Reads `count` pairs. Every type, length and count of every value is checked, even if it is never asked
  // for.
  static Metadata parse(ByteReader& reader, uint64_t count);

  std::span<const Value> values() const { return values_; }
  const Value* find(std::string_view key) const;  // nullptr when absent

 private:
  std::vector<Value> values_;  // in file order
  std::unordered_map<std::string_view, size_t> index_;
};

// Size of one value of a fixed-size type; 0 for strings and arrays.
uint64_t fixed_size(ValueType type);

// Conversions. They throw kCorruptFile, naming key and offset, when the stored type or value does not fit.
// `name` is the file's.
uint64_t to_uint(const Value& value, const std::string& name);
double to_float(const Value& value, const std::string& name);
bool to_bool(const Value& value, const std::string& name);
std::string_view to_string(const Value& value, const std::string& name);
std::vector<std::string_view> to_strings(const Value& value, const std::string& name);
std::vector<int64_t> to_ints(const Value& value, const std::string& name);
std::vector<double> to_floats(const Value& value, const std::string& name);
std::vector<bool> to_bools(const Value& value, const std::string& name);

}  // namespace claa::gguf
