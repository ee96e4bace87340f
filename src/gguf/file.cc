#include "gguf/file.h"

#include <algorithm>
#include <unordered_map>

#include "core/file_map.h"
#include "gguf/metadata.h"
#include "gguf/quants.h"
#include "gguf/scales.h"
#include "gguf/split.h"

namespace claa::gguf {

struct File::Impl {
  std::vector<FileMap> maps;  // empty when others own the bytes
  std::vector<std::byte> assembled_metadata;
  std::shared_ptr<const void> owner;
  Part first;  // the only one with all metadata; its tensors are below
  std::vector<TensorInfo> tensors;
  std::unordered_map<std::string_view, size_t> index;  // views of the tensors' names

  // Applies a conversion to the value of `key`; nullopt when absent.
  template <typename T>
  std::optional<T> get(std::string_view key, T (*convert)(const Value&, const std::string&)) const {
    const Value* value = first.metadata.find(key);
    if (value == nullptr) return std::nullopt;
    return convert(*value, first.name);
  }
  void set(std::vector<Part> parts) {
    tensors = merge_tensors(parts);
    first = std::move(parts.front());
    take_scales(tensors, first.name);
    make_index();
  }
  void make_index() {
    index.reserve(tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) index.emplace(tensors[i].name, i);
  }
};

uint64_t TensorInfo::elements() const {
  uint64_t product = 1;
  for (const uint64_t dim : shape) product *= dim;
  return product;
}

std::span<const std::byte> TensorInfo::rows(uint64_t first, uint64_t count) const {
  const uint64_t bytes = shape[0] / block_elements(type) * block_bytes(type);
  if (slices.empty()) return data.subspan(first * bytes, count * bytes);
  const uint64_t of_slice = shape[1];
  require(first % of_slice + count <= of_slice, "rows of several pieces of a tensor");
  return slices[first / of_slice].subspan(first % of_slice * bytes, count * bytes);
}

std::span<const std::byte> TensorInfo::head(size_t most) const {
  const auto first = slices.empty() ? data : slices.front();
  return first.first(std::min(most, first.size()));
}

std::span<const std::byte> TensorInfo::tail(size_t most) const {
  const auto last = slices.empty() ? data : slices.back();
  return last.last(std::min(most, last.size()));
}

File File::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  std::vector<Part> parts;
  const auto add = [&](FileMap map, const std::string& name) {
    impl->maps.push_back(std::move(map));
    parts.push_back(Part::parse(impl->maps.back().bytes(), name));
  };
  add(FileMap(path), path);
  const uint64_t count = count_of_files(parts.front());
  for (uint64_t i = 1; i < count; ++i) {
    const std::string name = name_of_file(path, i, count);
    add(map_of_file(name, path, i, count), name);
  }
  impl->set(std::move(parts));
  return File(std::move(impl));
}

File File::parse(std::span<const std::byte> bytes, const std::string& name) {
  return parse_split(std::span(&bytes, 1), name);
}

File File::parse_split(std::span<const std::span<const std::byte>> files, const std::string& name) {
  require(!files.empty(), "File::parse_split of no bytes");
  auto impl = std::make_unique<Impl>();
  std::vector<Part> parts;
  parts.push_back(Part::parse(files.front(), name));
  check_count_of_files(parts.front(), files.size());
  for (size_t i = 1; i < files.size(); ++i)
    parts.push_back(Part::parse(files[i], name_of_file(name, i, files.size())));
  impl->set(std::move(parts));
  return File(std::move(impl));
}

File File::assemble(const std::string& name, std::vector<std::byte> metadata, std::vector<TensorInfo> tensors,
                    std::shared_ptr<const void> owner) {
  auto impl = std::make_unique<Impl>();
  impl->assembled_metadata = std::move(metadata);
  impl->owner = std::move(owner);
  impl->first = Part::parse(impl->assembled_metadata, name);
  impl->tensors = std::move(tensors);
  impl->make_index();
  require(impl->first.tensors.empty() && impl->index.size() == impl->tensors.size(),
          "File::assemble of doubles");
  return File(std::move(impl));
}

File::File(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
File::File(File&&) noexcept = default;
File& File::operator=(File&&) noexcept = default;
File::~File() = default;

uint32_t File::version() const {
  return impl_->first.version;
}
const std::string& File::name() const {
  return impl_->first.name;
}
uint64_t File::alignment() const {
  return impl_->first.alignment;
}
bool File::has(std::string_view key) const {
  return impl_->first.metadata.find(key) != nullptr;
}

std::vector<std::string_view> File::keys() const {
  std::vector<std::string_view> keys;
  keys.reserve(impl_->first.metadata.values().size());
  for (const Value& value : impl_->first.metadata.values()) keys.push_back(value.key);
  return keys;
}

std::optional<ValueType> File::type_of(std::string_view key) const {
  const Value* value = impl_->first.metadata.find(key);
  if (value == nullptr) return std::nullopt;
  return value->type;
}

std::optional<std::pair<ValueType, uint64_t>> File::array_of(std::string_view key) const {
  const Value* value = impl_->first.metadata.find(key);
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
  return impl_->tensors;
}

const TensorInfo* File::find_tensor(std::string_view name) const {
  const auto found = impl_->index.find(name);
  return found == impl_->index.end() ? nullptr : &impl_->tensors[found->second];
}

}  // namespace claa::gguf
