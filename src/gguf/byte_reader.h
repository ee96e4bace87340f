// A cursor over untrusted bytes. Every read is checked against what remains; a failed check raises
// kCorruptFile naming the file, the field, the byte offset, what was seen and what was allowed.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "core/check.h"

namespace claa::gguf {

static_assert(std::endian::native == std::endian::little, "the format is little endian and is read in place");

// Reads a T from possibly unaligned memory.
template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// Describes what is being read. It is kept in parts because the sentence is needed only when a check fails.
struct Field {
  const char* what;               // "length of item"
  std::string_view subject = {};  // the key or tensor that it belongs to
  int64_t index = -1;             // its number, where there are several

  std::string to_string() const;  // "length of item 17 of 'tokenizer.ggml.tokens'"
};

class ByteReader {
 public:
  // `name` is the file name for messages. Both must outlive the reader.
  ByteReader(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  uint64_t position() const { return position_; }
  uint64_t size() const { return bytes_.size(); }
  uint64_t remaining() const { return bytes_.size() - position_; }
  void seek(uint64_t position) {
    require(position <= bytes_.size(), "ByteReader::seek past the end");
    position_ = position;
  }

  std::span<const std::byte> take(uint64_t size, const Field& field) {
    if (size > remaining()) truncated(size, field);
    const auto taken = bytes_.subspan(position_, size);
    position_ += size;
    return taken;
  }

  template <typename T>
  T read(const Field& field) {
    return load<T>(take(sizeof(T), field).data());
  }

  // A string of the format: u64 length, then that many bytes. `length` names the length, `text` the bytes.
  std::string_view read_string(const Field& length, const Field& text, uint64_t limit);

  // Raises kCorruptFile: "'FILE': FIELD at byte OFFSET: DETAIL".
  [[noreturn]] void corrupt(uint64_t offset, const Field& field, std::string_view detail) const;
  [[noreturn]] void unsupported(uint64_t offset, const Field& field, std::string_view detail) const;

 private:
  [[noreturn]] void truncated(uint64_t needed, const Field& field) const;

  std::span<const std::byte> bytes_;
  const std::string& name_;
  uint64_t position_ = 0;
};

}  // namespace claa::gguf
