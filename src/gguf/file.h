// GGUF v2/v3 reader over untrusted bytes. Every size, count, offset and type is checked before use; after
// open() all views are inside the file. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace claa::gguf {

// The numbers are those of the format, but for the last, which no GGUF file has.
enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kF8E4M3 = 0x10000,  // of safetensors
};

enum class ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

std::string_view value_type_name(ValueType type);  // "u32", "string", ...

// Numbers that a tensor's values are multiplied by, one for each tile of its rows and columns.
struct TensorScales {
  uint64_t tile_rows = 0, tile_columns = 0;  // the last tiles may be smaller
  uint64_t tiles_per_row = 1;
  std::vector<float> values;  // row-major
};

struct TensorInfo {
  std::string name;
  std::vector<uint64_t> shape;  // ggml order: shape[0] is the contiguous (fastest) dimension
  TensorType type = TensorType::kF32;
  std::span<const std::byte> data = {};                  // exactly the bytes of shape x type, inside the file
  std::shared_ptr<const TensorScales> scales = nullptr;  // of NVFP4 and FP8, none of most types
  // In place of `data` where the tensor lies in pieces, as experts do in folders: one for each of shape[2].
  std::vector<std::span<const std::byte>> slices = {};
  uint64_t elements() const;  // below 2^63
  // The bytes of rows (of shape[0] values) from `first` on, which lie in one piece.
  std::span<const std::byte> rows(uint64_t first, uint64_t count) const;
  std::span<const std::byte> head(size_t most) const;  // the first bytes, at most so many
  std::span<const std::byte> tail(size_t most) const;  // the last ones
};

class File {
 public:
  // Maps and parses a file, and the others of a split model, whose first file this must be. They are found by
  // their names, "NAME-00001-of-00003.gguf" and so on. Throws Error: kNotFound, kIo, kInvalidArgument,
  // kCorruptFile (naming field and offset), kUnsupported (version, byte order, tensor type). The file must
  // not be truncated by others while it is open: the operating system then ends the process at the next touch
  // of a lost page.
  static File open(const std::string& path);
  // Parses bytes that the caller keeps alive; `name` is used in messages.
  static File parse(std::span<const std::byte> bytes, const std::string& name);
  // The same of all files of a split model, in order.
  static File parse_split(std::span<const std::span<const std::byte>> files, const std::string& name);
  // A file put together of metadata, as a Writer without tensors gives it, and of tensors, whose bytes
  // `owner` keeps.
  static File assemble(const std::string& name, std::vector<std::byte> metadata,
                       std::vector<TensorInfo> tensors, std::shared_ptr<const void> owner);
  File(File&&) noexcept;
  File& operator=(File&&) noexcept;
  ~File();

  uint32_t version() const;
  const std::string& name() const;
  std::vector<std::string_view> keys() const;  // in file order
  bool has(std::string_view key) const;
  std::optional<ValueType> type_of(std::string_view key) const;
  // Type of an array's items and their number; nullopt when the key is absent or no array.
  std::optional<std::pair<ValueType, uint64_t>> array_of(std::string_view key) const;
  uint64_t alignment() const;  // for tensor offsets: general.alignment, or 32

  // Scalars. nullopt when the key is absent; kCorruptFile when it is present with an unfitting type or value.
  std::optional<uint64_t> get_uint(std::string_view key) const;  // any non-negative integer type
  std::optional<double> get_float(std::string_view key) const;   // any float or integer type
  std::optional<bool> get_bool(std::string_view key) const;
  std::optional<std::string_view> get_string(std::string_view key) const;  // bytes of the file, any content

  // Arrays; empty optional when absent.
  std::optional<std::vector<std::string_view>> get_strings(std::string_view key) const;
  std::optional<std::vector<int64_t>> get_ints(std::string_view key) const;
  std::optional<std::vector<double>> get_floats(
      std::string_view key) const;  // items of any float or integer type
  std::optional<std::vector<bool>> get_bools(std::string_view key) const;

  std::span<const TensorInfo> tensors() const;
  const TensorInfo* find_tensor(std::string_view name) const;  // nullptr when absent

 private:
  struct Impl;
  explicit File(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Fingerprint of the weights: names, shapes, types, and the first and last bytes of every tensor. It
// distinguishes models and quantisations without reading the whole file.
uint64_t weights_fingerprint(const File& file);

}  // namespace claa::gguf
