#include "gguf/writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <type_traits>

#include "core/check.h"
#include "gguf/quants.h"

namespace claa::gguf {
namespace {

using Bytes = std::vector<std::byte>;

// Not vector::insert, for which GCC 12 warns of an overflow that cannot happen.
void append(Bytes& out, const void* data, size_t size) {
  if (size == 0) return;
  out.resize(out.size() + size);
  std::memcpy(out.data() + out.size() - size, data, size);
}

template <typename T>
void put(Bytes& out, T value) {
  append(out, &value, sizeof(value));
}

void put_string(Bytes& out, std::string_view text) {
  put(out, uint64_t{text.size()});
  append(out, text.data(), text.size());
}

template <typename T>
constexpr ValueType value_type() {
  if constexpr (std::is_same_v<T, bool>) return ValueType::kBool;
  if constexpr (std::is_same_v<T, std::string>) return ValueType::kString;
  if constexpr (std::is_same_v<T, float>) return ValueType::kF32;
  if constexpr (std::is_same_v<T, double>) return ValueType::kF64;
  if constexpr (std::is_same_v<T, uint8_t>) return ValueType::kU8;
  if constexpr (std::is_same_v<T, int8_t>) return ValueType::kI8;
  if constexpr (std::is_same_v<T, uint16_t>) return ValueType::kU16;
  if constexpr (std::is_same_v<T, int16_t>) return ValueType::kI16;
  if constexpr (std::is_same_v<T, uint32_t>) return ValueType::kU32;
  if constexpr (std::is_same_v<T, int32_t>) return ValueType::kI32;
  if constexpr (std::is_same_v<T, uint64_t>) return ValueType::kU64;
  if constexpr (std::is_same_v<T, int64_t>) return ValueType::kI64;
}

template <typename T>
void put_item(Bytes& out, const T& item) {
  if constexpr (std::is_same_v<T, std::string>) {
    put_string(out, item);
  } else if constexpr (std::is_same_v<T, bool>) {
    put(out, static_cast<uint8_t>(item));
  } else {
    put(out, item);
  }
}

// Encodes a scalar and returns its type.
template <typename T>
ValueType encode(Bytes& out, const T& value) {
  put_item(out, value);
  return value_type<T>();
}

template <typename T>
ValueType encode(Bytes& out, const std::vector<T>& items) {
  put(out, static_cast<uint32_t>(value_type<T>()));
  put(out, uint64_t{items.size()});
  for (const auto& item : items) put_item<T>(out, item);
  return ValueType::kArray;
}

void pad(Bytes& out, uint64_t alignment) {
  out.resize((out.size() + alignment - 1) / alignment * alignment);
}

}  // namespace

Writer::Writer(uint32_t version, uint32_t alignment) : version_(version), alignment_(alignment) {
  if (!std::has_single_bit(alignment) || alignment < 8 || alignment > 65536) {
    fail(ErrorCode::kInvalidArgument, "alignment {} is not a power of two from 8 to 65536", alignment);
  }
  if (alignment != 32) add("general.alignment", alignment);
}

void Writer::add(const std::string& key, const Value& value) {
  Bytes encoded;
  const ValueType type = std::visit([&](const auto& stored) { return encode(encoded, stored); }, value);
  add_raw(key, type, encoded);
}

void Writer::add_raw(const std::string& key, ValueType type, std::span<const std::byte> encoded) {
  if (std::any_of(pairs_.begin(), pairs_.end(), [&](const Pair& pair) { return pair.key == key; })) {
    fail(ErrorCode::kInvalidArgument, "metadata key '{}' added twice", key);
  }
  pairs_.push_back({key, type, Bytes(encoded.begin(), encoded.end())});
}

void Writer::add_tensor(const std::string& name, const std::vector<uint64_t>& shape, TensorType type,
                        std::span<const std::byte> data) {
  if (std::any_of(tensors_.begin(), tensors_.end(),
                  [&](const Tensor& tensor) { return tensor.name == name; })) {
    fail(ErrorCode::kInvalidArgument, "tensor '{}' added twice", name);
  }
  const uint64_t elements = TensorInfo{.name = name, .shape = shape}.elements();
  if (shape.empty() || shape[0] % block_elements(type) != 0 ||
      data.size() != elements / block_elements(type) * block_bytes(type)) {
    fail(ErrorCode::kInvalidArgument, "tensor '{}': {} bytes of data do not fit {} elements of type {}", name,
         data.size(), elements, type_name(type));
  }
  tensors_.push_back({name, shape, type, Bytes(data.begin(), data.end())});
}

std::vector<std::byte> Writer::to_bytes() const {
  Bytes out;
  append(out, "GGUF", 4);
  put(out, version_);
  put(out, uint64_t{tensors_.size()});
  put(out, uint64_t{pairs_.size()});
  for (const Pair& pair : pairs_) {
    put_string(out, pair.key);
    put(out, static_cast<uint32_t>(pair.type));
    append(out, pair.encoded.data(), pair.encoded.size());
  }
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    put_string(out, tensor.name);
    put(out, static_cast<uint32_t>(tensor.shape.size()));
    for (const uint64_t dim : tensor.shape) put(out, dim);
    put(out, static_cast<uint32_t>(tensor.type));
    put(out, offset);
    offset = (offset + tensor.data.size() + alignment_ - 1) / alignment_ * alignment_;
  }
  for (const Tensor& tensor : tensors_) {
    pad(out, alignment_);
    append(out, tensor.data.data(), tensor.data.size());
  }
  if (!tensors_.empty()) pad(out, alignment_);
  return out;
}

std::vector<Writer> Writer::split(const std::vector<size_t>& tensors_of_each) const {
  std::vector<Writer> writers;
  size_t next = 0;
  for (const size_t count : tensors_of_each) {
    if (count > tensors_.size() - next) {
      fail(ErrorCode::kInvalidArgument, "{} tensors cannot be split into more", tensors_.size());
    }
    Writer& writer = writers.emplace_back(version_, alignment_);
    if (writers.size() == 1) writer.pairs_ = pairs_;
    writer.add("split.no", static_cast<uint16_t>(writers.size() - 1));
    writer.add("split.count", static_cast<uint16_t>(tensors_of_each.size()));
    writer.add("split.tensors.count", static_cast<int32_t>(tensors_.size()));
    const auto from = tensors_.begin() + static_cast<ptrdiff_t>(next);
    writer.tensors_.assign(from, from + static_cast<ptrdiff_t>(count));
    next += count;
  }
  return writers;
}

void Writer::write(const std::string& path) const {
  const Bytes bytes = to_bytes();
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) fail(ErrorCode::kIo, "cannot write {} bytes to '{}'", bytes.size(), path);
}

}  // namespace claa::gguf
