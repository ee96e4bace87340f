#include "gguf/part.h"

#include <bit>

#include "text/visible.h"

namespace claa::gguf {
namespace {

constexpr uint64_t kMaxCount = 65536;  // limit for tensors, and for metadata pairs
constexpr uint32_t kDefaultAlignment = 32;
constexpr uint32_t kMinAlignment = 8;
constexpr uint32_t kMaxAlignment = 65536;

void check_magic(ByteReader& reader) {
  const Field field{"magic"};
  const auto bytes = reader.take(4, field);
  const std::string_view magic(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (magic == "GGUF") return;
  std::string_view hint = "not a GGUF file";
  if (magic == "vers") hint = "not a GGUF file but perhaps a Git LFS pointer: fetch the real file";
  if (magic == "lmgg" || magic == "fmgg" || magic == "tjgg") {
    hint = "a file of the older GGML format: convert the model to GGUF";
  }
  reader.corrupt(0, field, fmt::format("is '{}', must be 'GGUF'; {}", visible_bytes(magic), hint));
}

uint32_t read_version(ByteReader& reader) {
  const Field field{"version"};
  const auto version = reader.read<uint32_t>(field);
  // True for a small number written in the other byte order.
  if (version != 0 && (version & 0xffff) == 0) {
    reader.unsupported(
        4, field,
        fmt::format("0x{:08x}: the file is big endian (GGUF version {}); only little-endian files can be "
                    "read: convert it",
                    version, __builtin_bswap32(version)));
  }
  if (version != 2 && version != 3) {
    reader.unsupported(
        4, field, fmt::format("GGUF version {} cannot be read; the supported versions are 2 and 3", version));
  }
  return version;
}

uint64_t read_count(ByteReader& reader, const Field& field) {
  const uint64_t at = reader.position();
  const auto count = reader.read<uint64_t>(field);
  if (count > kMaxCount)
    reader.corrupt(at, field, fmt::format("{}, more than the limit of {}", count, kMaxCount));
  return count;
}

uint64_t read_alignment(const ByteReader& reader, const Metadata& metadata) {
  const Value* value = metadata.find("general.alignment");
  if (value == nullptr) return kDefaultAlignment;
  const Field field{"value", value->key};
  if (value->type != ValueType::kU32) {
    reader.corrupt(value->offset, field,
                   fmt::format("has type {}, but u32 is needed", value_type_name(value->type)));
  }
  const auto alignment = load<uint32_t>(value->bytes.data());
  if (!std::has_single_bit(alignment) || alignment < kMinAlignment || alignment > kMaxAlignment) {
    reader.corrupt(
        value->offset, field,
        fmt::format("{} is not a power of two from {} to {}", alignment, kMinAlignment, kMaxAlignment));
  }
  return alignment;
}

}  // namespace

Part Part::parse(std::span<const std::byte> bytes, const std::string& name) {
  Part part;
  part.name = name;
  ByteReader reader(bytes, name);
  if (bytes.empty()) reader.corrupt(0, {"magic"}, "the file is empty");
  check_magic(reader);
  part.version = read_version(reader);
  const uint64_t tensor_count = read_count(reader, {"tensor count"});
  const uint64_t pair_count = read_count(reader, {"metadata count"});
  part.metadata = Metadata::parse(reader, pair_count);
  part.alignment = read_alignment(reader, part.metadata);
  part.tensors = parse_tensors(reader, bytes, tensor_count, part.alignment);
  return part;
}

std::optional<uint64_t> Part::get_uint(std::string_view key) const {
  const Value* value = metadata.find(key);
  if (value == nullptr) return std::nullopt;
  return to_uint(*value, name);
}

}  // namespace claa::gguf
