#include "gguf/file.h"

#include <bit>

#include "core/file_map.h"
#include "gguf/byte_reader.h"
#include "gguf/metadata.h"
#include "gguf/tensor_table.h"
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

struct File::Impl {
  std::optional<FileMap> map;  // empty when the caller owns the bytes
  std::string name;
  uint32_t version = 0;
  uint64_t alignment = kDefaultAlignment;
  Metadata metadata;
  TensorTable table;

  void parse(std::span<const std::byte> bytes) {
    ByteReader reader(bytes, name);
    if (bytes.empty()) reader.corrupt(0, {"magic"}, "the file is empty");
    check_magic(reader);
    version = read_version(reader);
    const uint64_t tensor_count = read_count(reader, {"tensor count"});
    const uint64_t pair_count = read_count(reader, {"metadata count"});
    metadata = Metadata::parse(reader, pair_count);
    alignment = read_alignment(reader, metadata);
    table = TensorTable::parse(reader, bytes, tensor_count, alignment);
  }

  // Applies a conversion to the value of `key`; nullopt when absent.
  template <typename T>
  std::optional<T> get(std::string_view key, T (*convert)(const Value&, const std::string&)) const {
    const Value* value = metadata.find(key);
    if (value == nullptr) return std::nullopt;
    return convert(*value, name);
  }
};

uint64_t TensorInfo::elements() const {
  uint64_t product = 1;
  for (const uint64_t dim : shape) product *= dim;
  return product;
}

File File::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->map.emplace(path);
  impl->name = path;
  impl->parse(impl->map->bytes());
  return File(std::move(impl));
}

File File::parse(std::span<const std::byte> bytes, const std::string& name) {
  auto impl = std::make_unique<Impl>();
  impl->name = name;
  impl->parse(bytes);
  return File(std::move(impl));
}

File::File(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
File::File(File&&) noexcept = default;
File& File::operator=(File&&) noexcept = default;
File::~File() = default;

uint32_t File::version() const {
  return impl_->version;
}
const std::string& File::name() const {
  return impl_->name;
}
uint64_t File::alignment() const {
  return impl_->alignment;
}
bool File::has(std::string_view key) const {
  return impl_->metadata.find(key) != nullptr;
}

std::vector<std::string_view> File::keys() const {
  std::vector<std::string_view> keys;
  keys.reserve(impl_->metadata.values().size());
  for (const Value& value : impl_->metadata.values()) keys.push_back(value.key);
  return keys;
}

std::optional<ValueType> File::type_of(std::string_view key) const {
  const Value* value = impl_->metadata.find(key);
  if (value == nullptr) return std::nullopt;
  return value->type;
}

std::optional<std::pair<ValueType, uint64_t>> File::array_of(std::string_view key) const {
  const Value* value = impl_->metadata.find(key);
  if (value == nullptr || value->type != ValueType::kArray) return std::nullopt;
  return std::pair{value->item_type, value->count};
}

std::optional<uint64_t> File::get_uint(std::string_view key) const {
  return impl_->get(key, to_uint);
}
std::optional<double> File::get_float(std::string_view key) const {
  return impl_->get(key, to_float);
}
std::optional<bool> File::get_bool(std::string_view key) const {
  return impl_->get(key, to_bool);
}

std::optional<std::string_view> File::get_string(std::string_view key) const {
  return impl_->get(key, to_string);
}

std::optional<std::vector<std::string_view>> File::get_strings(std::string_view key) const {
  return impl_->get(key, to_strings);
}

std::optional<std::vector<int64_t>> File::get_ints(std::string_view key) const {
  return impl_->get(key, to_ints);
}
std::optional<std::vector<double>> File::get_floats(std::string_view key) const {
  return impl_->get(key, to_floats);
}
std::optional<std::vector<bool>> File::get_bools(std::string_view key) const {
  return impl_->get(key, to_bools);
}

std::span<const TensorInfo> File::tensors() const {
  return impl_->table.tensors;
}

const TensorInfo* File::find_tensor(std::string_view name) const {
  const auto found = impl_->table.index.find(name);
  return found == impl_->table.index.end() ? nullptr : &impl_->table.tensors[found->second];
}

}  // namespace claa::gguf
