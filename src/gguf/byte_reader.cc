#include "gguf/byte_reader.h"

#include "text/visible.h"

namespace claa::gguf {

std::string Field::to_string() const {
  std::string text = what;
  if (index >= 0) text += fmt::format(" {}", index);
  if (!subject.empty()) text += fmt::format(" of '{}'", visible_bytes(subject));
  return text;
}

std::string_view ByteReader::read_string(const Field& length, const Field& text, uint64_t limit) {
  const uint64_t at = position_;
  const auto size = read<uint64_t>(length);
  if (size > limit) corrupt(at, length, fmt::format("{} bytes, more than the limit of {}", size, limit));
  if (size > remaining()) {
    corrupt(at, length, fmt::format("{} bytes, but only {} are left in the file", size, remaining()));
  }
  const auto bytes = take(size, text);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void ByteReader::corrupt(uint64_t offset, const Field& field, std::string_view detail) const {
  fail(ErrorCode::kCorruptFile, "'{}': {} at byte {}: {}", name_, field.to_string(), offset, detail);
}

void ByteReader::unsupported(uint64_t offset, const Field& field, std::string_view detail) const {
  fail(ErrorCode::kUnsupported, "'{}': {} at byte {}: {}", name_, field.to_string(), offset, detail);
}

void ByteReader::truncated(uint64_t needed, const Field& field) const {
  corrupt(position_, field,
          fmt::format("needs {} bytes, but only {} are left (file of {} bytes, truncated?)", needed,
                      remaining(), bytes_.size()));
}

}  // namespace claa::gguf
