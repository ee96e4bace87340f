#include "folder/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>
#include <unordered_set>

#include "core/check.h"
#include "text/json.h"
#include "text/visible.h"

namespace claa {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;    // the format's own limit
constexpr size_t kMaxValues = size_t{1} << 20;  // of the header: enough for 65,536 tensors
constexpr size_t kMaxDims = 8;

struct Dtype {
  std::string_view name;
  uint64_t bytes;
};
constexpr std::array kDtypes = {Dtype{"F32", 4}, Dtype{"F16", 2},     Dtype{"BF16", 2}, Dtype{"F8_E4M3", 1},
                                Dtype{"F64", 8}, Dtype{"F8_E5M2", 1}, Dtype{"I64", 8},  Dtype{"U64", 8},
                                Dtype{"I32", 4}, Dtype{"U32", 4},     Dtype{"I16", 2},  Dtype{"U16", 2},
                                Dtype{"I8", 1},  Dtype{"U8", 1},      Dtype{"BOOL", 1}};

// A tensor of the header with the place of its data, which starts behind the header.
struct Placed {
  SafeTensor tensor;
  uint64_t begin = 0, end = 0;
};

class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  std::vector<SafeTensor> read() {
    const std::optional<Json> header = parse_json(header_text(), kMaxValues);
    if (!header || !header->is(Json::Kind::kObject)) corrupt("the header is not a JSON object");
    std::unordered_set<std::string_view> names;
    std::vector<Placed> placed;
    for (size_t i = 0; i < header->items.size(); ++i) {
      const std::string& tensor = header->names[i];
      if (tensor == "__metadata__") continue;
      if (!names.insert(tensor).second)
        corrupt(fmt::format("tensor '{}' appears twice", visible_bytes(tensor)));
      placed.push_back(place(tensor, header->items[i]));
    }
    std::stable_sort(placed.begin(), placed.end(),
                     [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
    std::vector<SafeTensor> tensors;
    uint64_t end = 0;
    for (Placed& each : placed) {
      if (each.begin < end)
        corrupt(
            fmt::format("the data of tensor '{}' overlap those of another", visible_bytes(each.tensor.name)));
      end = each.end;
      tensors.push_back(std::move(each.tensor));
    }
    return tensors;
  }

 private:
  [[noreturn]] void corrupt(const std::string& what) const {
    fail(ErrorCode::kCorruptFile, "'{}': {}; fetch the file anew", name_, what);
  }

  std::string_view header_text() {
    uint64_t size = 0;
    if (bytes_.size() < sizeof(size)) corrupt(fmt::format("{} bytes are no safetensors file", bytes_.size()));
    std::memcpy(&size, bytes_.data(), sizeof(size));
    constexpr std::string_view kPointer = "version ";
    if (std::memcmp(bytes_.data(), kPointer.data(), kPointer.size()) == 0)
      corrupt("this is no safetensors file but perhaps a Git LFS pointer");
    if (size > kMaxHeader || size > bytes_.size() - sizeof(size)) {
      corrupt(
          fmt::format("the header would have {} bytes, of which the file holds {} and the format allows {} "
                      "(truncated, or no safetensors file?)",
                      size, bytes_.size() - sizeof(size), kMaxHeader));
    }
    const auto header = bytes_.subspan(sizeof(size), size);
    data_ = bytes_.subspan(sizeof(size) + size);
    return {reinterpret_cast<const char*>(header.data()), header.size()};
  }

  uint64_t number(const Json& json, const std::string& tensor, const char* what) const {
    const std::optional<int64_t> value = json.integer();
    if (!value || *value < 0)
      corrupt(fmt::format("{} of tensor '{}' is no whole number", what, visible_bytes(tensor)));
    return static_cast<uint64_t>(*value);
  }

  const Json& member(const Json& entry, const std::string& tensor, const char* key, Json::Kind kind) const {
    const Json* found = entry.find(key);
    if (found == nullptr || !found->is(kind))
      corrupt(fmt::format("{} of tensor '{}' is missing or of another kind", key, visible_bytes(tensor)));
    return *found;
  }

  // Bytes of shape times type.
  uint64_t size_of(const SafeTensor& tensor) const {
    const auto* const dtype = std::find_if(kDtypes.begin(), kDtypes.end(),
                                           [&](const Dtype& each) { return each.name == tensor.dtype; });
    if (dtype == kDtypes.end()) {
      corrupt(fmt::format("tensor '{}' has the unknown type '{}'", visible_bytes(tensor.name),
                          visible_bytes(tensor.dtype)));
    }
    uint64_t size = dtype->bytes;
    for (const uint64_t extent : tensor.shape) {
      if (__builtin_mul_overflow(size, extent, &size))
        corrupt(fmt::format("the shape of tensor '{}' exceeds 2^64 bytes", visible_bytes(tensor.name)));
    }
    return size;
  }

  Placed place(const std::string& name, const Json& entry) const {
    Placed placed;
    SafeTensor& tensor = placed.tensor;
    tensor.name = name;
    if (name.empty()) corrupt("a tensor has no name");
    if (!entry.is(Json::Kind::kObject))
      corrupt(fmt::format("tensor '{}' is not described", visible_bytes(name)));
    tensor.dtype = member(entry, name, "dtype", Json::Kind::kString).text;
    const Json& shape = member(entry, name, "shape", Json::Kind::kArray);
    const Json& offsets = member(entry, name, "data_offsets", Json::Kind::kArray);
    if (shape.items.size() > kMaxDims)
      corrupt(fmt::format("tensor '{}' has {} dimensions", visible_bytes(name), shape.items.size()));
    for (const Json& extent : shape.items) tensor.shape.push_back(number(extent, name, "shape"));
    if (offsets.items.size() != 2)
      corrupt(fmt::format("data_offsets of tensor '{}' are not two", visible_bytes(name)));
    placed.begin = number(offsets.items[0], name, "data_offsets");
    placed.end = number(offsets.items[1], name, "data_offsets");
    if (placed.begin > placed.end || placed.end > data_.size()) {
      corrupt(fmt::format("tensor '{}' lies at {} to {} of {} bytes of data (truncated?)",
                          visible_bytes(name), placed.begin, placed.end, data_.size()));
    }
    const uint64_t size = size_of(tensor);
    if (size != placed.end - placed.begin) {
      corrupt(fmt::format("tensor '{}' has {} bytes of data, its shape and type need {}", visible_bytes(name),
                          placed.end - placed.begin, size));
    }
    tensor.data = data_.subspan(placed.begin, size);
    return placed;
  }

  std::span<const std::byte> bytes_;
  std::span<const std::byte> data_;
  const std::string& name_;
};

}  // namespace

std::vector<SafeTensor> parse_safetensors(std::span<const std::byte> bytes, const std::string& name) {
  return HeaderReader(bytes, name).read();
}

}  // namespace claa
