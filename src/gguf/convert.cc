// Conversions of metadata values to the caller's types.
#include <limits>
#include <string>
#include <type_traits>

#include "gguf/metadata.h"
#include "text/visible.h"

namespace claa::gguf {
namespace {

[[noreturn]] void misfit(const Value& value, const std::string& name, const char* wanted) {
  std::string seen{value_type_name(value.type)};
  if (value.type == ValueType::kArray) seen = fmt::format("array of {}", value_type_name(value.item_type));
  fail(ErrorCode::kCorruptFile, "'{}': value of '{}' at byte {}: has type {}, but {} is needed", name,
       visible_bytes(value.key), value.offset, seen, wanted);
}

template <typename T>
[[noreturn]] void out_of_range(const Value& value, const std::string& name, T seen, const char* wanted) {
  fail(ErrorCode::kCorruptFile, "'{}': value of '{}' at byte {}: is {}, but {} is needed", name,
       visible_bytes(value.key), value.offset, seen, wanted);
}

// Calls use(T) with the stored integer at `from`; returns false when `type` is no integer.
template <typename Use>
bool visit_integer(ValueType type, const std::byte* from, Use use) {
  switch (type) {
    case ValueType::kU8:
      use(load<uint8_t>(from));
      return true;
    case ValueType::kI8:
      use(load<int8_t>(from));
      return true;
    case ValueType::kU16:
      use(load<uint16_t>(from));
      return true;
    case ValueType::kI16:
      use(load<int16_t>(from));
      return true;
    case ValueType::kU32:
      use(load<uint32_t>(from));
      return true;
    case ValueType::kI32:
      use(load<int32_t>(from));
      return true;
    case ValueType::kU64:
      use(load<uint64_t>(from));
      return true;
    case ValueType::kI64:
      use(load<int64_t>(from));
      return true;
    default:
      return false;
  }
}

// The same for integers and floats.
template <typename Use>
bool visit_number(ValueType type, const std::byte* from, Use use) {
  if (type == ValueType::kF32) {
    use(load<float>(from));
    return true;
  }
  if (type == ValueType::kF64) {
    use(load<double>(from));
    return true;
  }
  return visit_integer(type, from, use);
}

bool is_integer(ValueType type) {
  return fixed_size(type) != 0 && type != ValueType::kBool && type != ValueType::kF32 &&
         type != ValueType::kF64;
}

bool is_number(ValueType type) {
  return is_integer(type) || type == ValueType::kF32 || type == ValueType::kF64;
}

template <typename T>
int64_t to_signed(const Value& value, const std::string& name, T item) {
  if constexpr (std::is_same_v<T, uint64_t>) {
    if (item > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      out_of_range(value, name, item, "an array of integers below 2^63");
    }
  }
  return static_cast<int64_t>(item);
}

}  // namespace

uint64_t to_uint(const Value& value, const std::string& name) {
  uint64_t result = 0;
  const bool integer = visit_integer(value.type, value.bytes.data(), [&](auto number) {
    if constexpr (std::is_signed_v<decltype(number)>) {
      // Widened, so that an i8 prints as a number.
      if (number < 0) out_of_range(value, name, static_cast<int64_t>(number), "an unsigned integer");
    }
    result = static_cast<uint64_t>(number);
  });
  if (!integer) misfit(value, name, "an unsigned integer");
  return result;
}

double to_float(const Value& value, const std::string& name) {
  double result = 0;
  if (!visit_number(value.type, value.bytes.data(),
                    [&](auto number) { result = static_cast<double>(number); })) {
    misfit(value, name, "a number");
  }
  return result;
}

bool to_bool(const Value& value, const std::string& name) {
  if (value.type != ValueType::kBool) misfit(value, name, "a bool");
  return value.bytes[0] != std::byte{0};
}

std::string_view to_string(const Value& value, const std::string& name) {
  if (value.type != ValueType::kString) misfit(value, name, "a string");
  return {reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size()};
}

std::vector<std::string_view> to_strings(const Value& value, const std::string& name) {
  if (value.type != ValueType::kArray || value.item_type != ValueType::kString) {
    misfit(value, name, "an array of strings");
  }
  // Parsing has checked this, but a mapped file may have been overwritten since.
  ByteReader reader(value.bytes, name);
  std::vector<std::string_view> strings;
  strings.reserve(value.count);
  for (uint64_t i = 0; i < value.count; ++i) {
    const auto index = static_cast<int64_t>(i);
    strings.push_back(reader.read_string({"length of item", value.key, index}, {"item", value.key, index},
                                         kMaxStringBytes));
  }
  return strings;
}

std::vector<int64_t> to_ints(const Value& value, const std::string& name) {
  if (value.type != ValueType::kArray || !is_integer(value.item_type))
    misfit(value, name, "an array of integers");
  const uint64_t size = fixed_size(value.item_type);
  std::vector<int64_t> items(value.count);
  for (uint64_t i = 0; i < value.count; ++i) {
    visit_integer(value.item_type, value.bytes.data() + i * size,
                  [&](auto item) { items[i] = to_signed(value, name, item); });
  }
  return items;
}

std::vector<double> to_floats(const Value& value, const std::string& name) {
  if (value.type != ValueType::kArray || !is_number(value.item_type))
    misfit(value, name, "an array of numbers");
  const uint64_t size = fixed_size(value.item_type);
  std::vector<double> items(value.count);
  for (uint64_t i = 0; i < value.count; ++i) {
    visit_number(value.item_type, value.bytes.data() + i * size,
                 [&](auto item) { items[i] = static_cast<double>(item); });
  }
  return items;
}

std::vector<bool> to_bools(const Value& value, const std::string& name) {
  if (value.type != ValueType::kArray || value.item_type != ValueType::kBool)
    misfit(value, name, "an array of bools");
  std::vector<bool> items(value.count);
  for (uint64_t i = 0; i < value.count; ++i) items[i] = value.bytes[i] != std::byte{0};
  return items;
}

}  // namespace claa::gguf
