#include "gguf/metadata.h"

#include "text/visible.h"

namespace claa::gguf {
namespace {

constexpr uint64_t kMinPairBytes = 8 + 1 + 4 + 1;  // key length, one character, type, a one-byte value

ValueType read_type(ByteReader& reader, const Field& field) {
  const uint64_t at = reader.position();
  const auto raw = reader.read<uint32_t>(field);
  if (raw > static_cast<uint32_t>(ValueType::kF64)) {
    reader.corrupt(at, field, fmt::format("unknown type {}, the known ones are 0 to 12", raw));
  }
  return static_cast<ValueType>(raw);
}

// Fewest bytes that one item takes in the file; bounds an item count before anything is read.
uint64_t min_item_bytes(ValueType type) {
  if (type == ValueType::kString) return 8;     // its length
  if (type == ValueType::kArray) return 4 + 8;  // its item type and count
  return fixed_size(type);
}

void check_bool(const ByteReader& reader, uint64_t at, std::byte stored, const Field& field) {
  if (std::to_integer<int>(stored) > 1) {
    reader.corrupt(at, field,
                   fmt::format("a bool of value {}, only 0 and 1 are valid", std::to_integer<int>(stored)));
  }
}

// Reads item type and item count of an array, checked against the rest of the file.
void read_array_header(ByteReader& reader, Value& value) {
  value.item_type = read_type(reader, {"item type", value.key});
  const uint64_t at = reader.position();
  const Field field{"item count", value.key};
  value.count = reader.read<uint64_t>(field);
  if (value.count > kMaxArrayItems) {
    reader.corrupt(at, field,
                   fmt::format("{} items, more than the limit of {}", value.count, kMaxArrayItems));
  }
  const uint64_t fitting = reader.remaining() / min_item_bytes(value.item_type);
  if (value.count > fitting) {
    reader.corrupt(
        at, field,
        fmt::format("{} items of type {}, but the {} bytes left in the file hold at most {} (truncated?)",
                    value.count, value_type_name(value.item_type), reader.remaining(), fitting));
  }
}

// Walks over the items of an array. `depth` counts the arrays around the items.
void skip_items(ByteReader& reader, const Value& array, int depth) {
  if (array.item_type == ValueType::kArray) {
    if (depth == kMaxArrayDepth) {
      reader.corrupt(reader.position(), {"array", array.key},
                     fmt::format("nested deeper than the limit of {}", kMaxArrayDepth));
    }
    for (uint64_t i = 0; i < array.count; ++i) {
      Value inner{.key = array.key};
      read_array_header(reader, inner);
      skip_items(reader, inner, depth + 1);
    }
  } else if (array.item_type == ValueType::kString) {
    for (uint64_t i = 0; i < array.count; ++i) {
      const auto index = static_cast<int64_t>(i);
      reader.read_string({"length of item", array.key, index}, {"item", array.key, index}, kMaxStringBytes);
    }
  } else {
    const uint64_t at = reader.position();
    const auto bytes = reader.take(array.count * fixed_size(array.item_type), {"items", array.key});
    if (array.item_type != ValueType::kBool) return;
    for (size_t i = 0; i < bytes.size(); ++i) {
      check_bool(reader, at + i, bytes[i], {"item", array.key, static_cast<int64_t>(i)});
    }
  }
}

std::string_view read_key(ByteReader& reader, int64_t index) {
  const uint64_t at = reader.position();
  const Field length{"length of key", {}, index};
  const Field field{"key", {}, index};
  const std::string_view key = reader.read_string(length, field, kMaxKeyBytes);
  if (key.empty()) reader.corrupt(at, length, "0 bytes, a key cannot be empty");
  for (size_t i = 0; i < key.size(); ++i) {
    const auto byte = static_cast<unsigned char>(key[i]);
    if (byte < 0x20 || byte >= 0x7f) {
      reader.corrupt(
          at + 8 + i, field,
          fmt::format("byte 0x{:02x} in '{}', a key is printable ASCII", byte, visible_bytes(key)));
    }
  }
  return key;
}

void read_value(ByteReader& reader, Value& value) {
  value.type = read_type(reader, {"value type", value.key});
  const Field field{"value", value.key};
  if (value.type == ValueType::kString) {
    const std::string_view text = reader.read_string({"string length", value.key}, field, kMaxStringBytes);
    value.bytes = std::as_bytes(std::span(text));
    value.offset = reader.position() - text.size();
  } else if (value.type == ValueType::kArray) {
    read_array_header(reader, value);
    value.offset = reader.position();
    skip_items(reader, value, 1);
    const uint64_t size = reader.position() - value.offset;
    reader.seek(value.offset);
    value.bytes = reader.take(size, field);
  } else {
    value.offset = reader.position();
    value.bytes = reader.take(fixed_size(value.type), field);
    if (value.type == ValueType::kBool) check_bool(reader, value.offset, value.bytes[0], field);
  }
}

}  // namespace

uint64_t fixed_size(ValueType type) {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
    case ValueType::kBool:
      return 1;
    case ValueType::kU16:
    case ValueType::kI16:
      return 2;
    case ValueType::kU32:
    case ValueType::kI32:
    case ValueType::kF32:
      return 4;
    case ValueType::kU64:
    case ValueType::kI64:
    case ValueType::kF64:
      return 8;
    case ValueType::kString:
    case ValueType::kArray:
      break;
  }
  return 0;
}

std::string_view value_type_name(ValueType type) {
  switch (type) {
    case ValueType::kU8:
      return "u8";
    case ValueType::kI8:
      return "i8";
    case ValueType::kU16:
      return "u16";
    case ValueType::kI16:
      return "i16";
    case ValueType::kU32:
      return "u32";
    case ValueType::kI32:
      return "i32";
    case ValueType::kF32:
      return "f32";
    case ValueType::kBool:
      return "bool";
    case ValueType::kString:
      return "string";
    case ValueType::kArray:
      return "array";
    case ValueType::kU64:
      return "u64";
    case ValueType::kI64:
      return "i64";
    case ValueType::kF64:
      return "f64";
  }
  return "unknown";
}

Metadata Metadata::parse(ByteReader& reader, uint64_t count) {
  Metadata metadata;
  if (count > reader.remaining() / kMinPairBytes) {
    reader.corrupt(16, {"metadata count"},
                   fmt::format("{} pairs, but the {} bytes left in the file hold at most {} (truncated?)",
                               count, reader.remaining(), reader.remaining() / kMinPairBytes));
  }
  metadata.values_.reserve(count);
  metadata.index_.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const auto index = static_cast<int64_t>(i);
    const uint64_t at = reader.position();
    Value value{.key = read_key(reader, index)};
    if (!metadata.index_.emplace(value.key, i).second) {
      reader.corrupt(at, {"key", {}, index}, fmt::format("'{}' appears twice", visible_bytes(value.key)));
    }
    read_value(reader, value);
    metadata.values_.push_back(value);
  }
  return metadata;
}

const Value* Metadata::find(std::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &values_[found->second];
}

}  // namespace claa::gguf
