#include "gguf/tensor_table.h"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <unordered_set>

#include "gguf/quants.h"
#include "text/visible.h"

namespace claa::gguf {
namespace {

constexpr uint64_t kMinInfoBytes =
    8 + 1 + 4 + 8 + 4 + 8;  // name length, one character, dims, one dim, type, offset

// Where a tensor claims to lie.
struct Extent {
  uint64_t field;   // position of the offset in the file, for messages
  uint64_t offset;  // from the start of the data section
  uint64_t size;
};

std::string_view read_name(ByteReader& reader, int64_t index) {
  const uint64_t at = reader.position();
  const Field length{"length of the name of tensor", {}, index};
  const Field field{"name of tensor", {}, index};
  const std::string_view name = reader.read_string(length, field, kMaxNameBytes);
  if (name.empty()) reader.corrupt(at, length, "0 bytes, a name cannot be empty");
  for (size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    if (byte < 0x20 || byte == 0x7f) {
      reader.corrupt(at + 8 + i, field,
                     fmt::format("control byte 0x{:02x} in '{}'", byte, visible_bytes(name)));
    }
  }
  return name;
}

// Reads the dimensions; afterwards their product is known to be positive and below 2^63.
std::vector<uint64_t> read_shape(ByteReader& reader, std::string_view name) {
  const uint64_t at = reader.position();
  const Field field{"dimension count", name};
  const auto dims = reader.read<uint32_t>(field);
  if (dims < 1 || dims > kMaxDims)
    reader.corrupt(at, field, fmt::format("{} dimensions, 1 to {} are valid", dims, kMaxDims));
  std::vector<uint64_t> shape(dims);
  int64_t elements = 1;
  for (uint32_t i = 0; i < dims; ++i) {
    const uint64_t dim_at = reader.position();
    const Field dim_field{"dimension", name, i};
    shape[i] = reader.read<uint64_t>(dim_field);
    if (shape[i] == 0) reader.corrupt(dim_at, dim_field, "is 0, every dimension must be positive");
    if (__builtin_mul_overflow(elements, shape[i], &elements)) {
      reader.corrupt(dim_at, dim_field, fmt::format("{} makes the number of elements exceed 2^63", shape[i]));
    }
  }
  return shape;
}

TensorType read_type(ByteReader& reader, std::string_view name) {
  const uint64_t at = reader.position();
  const Field field{"type", name};
  const auto raw = reader.read<uint32_t>(field);
  if (!is_supported(raw)) {
    reader.unsupported(at, field,
                       fmt::format("tensor type {} ({}) cannot be read; the supported types are {}", raw,
                                   raw_type_name(raw), supported_types()));
  }
  return static_cast<TensorType>(raw);
}

// Bytes of shape x type. `at` is the position of the first dimension.
uint64_t checked_bytes(const ByteReader& reader, uint64_t at, const TensorInfo& tensor) {
  const uint64_t block = block_elements(tensor.type);
  const Field field{"dimension", tensor.name, 0};
  if (tensor.shape[0] % block != 0) {
    reader.corrupt(at, field,
                   fmt::format("{} is not a multiple of {}, the block length of {}", tensor.shape[0], block,
                               type_name(tensor.type)));
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(tensor.elements() / block, uint64_t{block_bytes(tensor.type)}, &bytes)) {
    reader.corrupt(at, field,
                   fmt::format("{} elements of type {} take more than 2^64 bytes", tensor.elements(),
                               type_name(tensor.type)));
  }
  return bytes;
}

// Reads one info, all but the check against the data section, whose start is not known yet.
TensorInfo read_info(ByteReader& reader, std::string_view name, uint64_t alignment, Extent& extent) {
  TensorInfo tensor;
  tensor.name = name;
  const uint64_t shape_at = reader.position() + sizeof(uint32_t);
  tensor.shape = read_shape(reader, name);
  tensor.type = read_type(reader, name);
  extent.size = checked_bytes(reader, shape_at, tensor);
  extent.field = reader.position();
  const Field field{"offset", name};
  extent.offset = reader.read<uint64_t>(field);
  if (extent.offset % alignment != 0) {
    reader.corrupt(extent.field, field,
                   fmt::format("{} is not a multiple of the alignment {}", extent.offset, alignment));
  }
  return tensor;
}

// The data section starts at the next multiple of the alignment after the infos.
uint64_t data_start(const ByteReader& reader, uint64_t alignment) {
  const uint64_t padding = (alignment - reader.position() % alignment) % alignment;
  if (padding > reader.remaining()) {
    reader.corrupt(reader.position(), {"data section"},
                   fmt::format("starts {} bytes on, but only {} are left (file of {} bytes, truncated?)",
                               padding, reader.remaining(), reader.size()));
  }
  return reader.position() + padding;
}

void check_overlap(const ByteReader& reader, const std::vector<TensorInfo>& tensors,
                   const std::vector<Extent>& extents) {
  std::vector<size_t> order(extents.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return extents[a].offset < extents[b].offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const Extent& before = extents[order[i - 1]];
    const Extent& after = extents[order[i]];
    if (after.offset - before.offset >= before.size) continue;
    reader.corrupt(
        after.field, {"offset", tensors[order[i]].name},
        fmt::format("{} overlaps tensor '{}', which lies at {} to {} of the data section", after.offset,
                    visible_bytes(tensors[order[i - 1]].name), before.offset, before.offset + before.size));
  }
}

}  // namespace

std::vector<TensorInfo> parse_tensors(ByteReader& reader, std::span<const std::byte> bytes, uint64_t count,
                                      uint64_t alignment) {
  std::vector<TensorInfo> tensors;
  const uint64_t fitting = reader.remaining() / kMinInfoBytes;
  if (count > fitting) {
    reader.corrupt(8, {"tensor count"},
                   fmt::format("{} tensors, but the {} bytes left in the file hold at most {} (truncated?)",
                               count, reader.remaining(), fitting));
  }
  if (count == 0) return tensors;  // a file of metadata alone may end here, without padding
  tensors.reserve(count);
  std::unordered_set<std::string_view> names;  // views of the file's bytes
  names.reserve(count);
  std::vector<Extent> extents(count);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = reader.position();
    const std::string_view name = read_name(reader, static_cast<int64_t>(i));
    if (!names.insert(name).second) {
      reader.corrupt(at, {"name of tensor", {}, static_cast<int64_t>(i)},
                     fmt::format("'{}' appears twice", visible_bytes(name)));
    }
    tensors.push_back(read_info(reader, name, alignment, extents[i]));
  }
  const auto data = bytes.subspan(data_start(reader, alignment));
  for (uint64_t i = 0; i < count; ++i) {
    const Extent& extent = extents[i];
    if (extent.offset > data.size() || extent.size > data.size() - extent.offset) {
      reader.corrupt(
          extent.field, {"offset", tensors[i].name},
          fmt::format("{} plus {} bytes of data is past the end of the data section of {} bytes (file of {} "
                      "bytes, truncated?)",
                      extent.offset, extent.size, data.size(), bytes.size()));
    }
    tensors[i].data = data.subspan(extent.offset, extent.size);
  }
  check_overlap(reader, tensors, extents);
  return tensors;
}

}  // namespace claa::gguf
