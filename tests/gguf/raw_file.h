// Builds GGUF bytes field by field, true or false, and remembers where each field went. For hostile-input
// tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace claa::gguf::test {

// Bytes put together fluently: Bytes().u32(5).text("abc").
struct Bytes {
  std::vector<std::byte> data;

  template <typename T>
  Bytes& put(T value) {
    return append(&value, sizeof(value));
  }
  Bytes& append(const void* from, size_t size) {
    for (size_t i = 0; i < size; ++i) data.push_back(static_cast<const std::byte*>(from)[i]);
    return *this;
  }
  Bytes& u8(uint8_t value) { return put(value); }
  Bytes& u32(uint32_t value) { return put(value); }
  Bytes& u64(uint64_t value) { return put(value); }
  Bytes& raw(std::string_view text) { return append(text.data(), text.size()); }
  Bytes& text(std::string_view text) { return u64(text.size()).raw(text); }
  Bytes& array(uint32_t item_type, uint64_t count) { return u32(item_type).u64(count); }
};

struct RawPair {
  std::string key;
  uint32_t type = 0;
  Bytes value = {};
  std::optional<uint64_t> key_length = {};  // the true value when empty
};

struct RawTensor {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type = 0;
  uint64_t offset = 0;
  std::optional<uint64_t> name_length = {};
  std::optional<uint32_t> dim_count = {};
};

// A valid file unless a test changes a field.
struct RawFile {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> tensor_count = {};
  std::optional<uint64_t> pair_count = {};
  std::vector<RawPair> pairs = {{.key = "general.architecture", .type = 8, .value = Bytes().text("llama")},
                                {.key = "llama.block_count", .type = 4, .value = Bytes().u32(7)}};
  std::vector<RawTensor> tensors = {{.name = "first", .dims = {8}, .type = 0, .offset = 0},
                                    {.name = "second", .dims = {32, 2}, .type = 8, .offset = 32}};
  uint64_t alignment = 32;  // of the data section, whatever the metadata says
  uint64_t data_bytes = 128;
  std::map<std::string, uint64_t> marks = {};  // field -> offset, set by build()

  std::vector<std::byte> build() {
    Bytes out;
    const auto mark = [&](const std::string& field) { marks[field] = out.data.size(); };
    mark("magic");
    out.raw(magic);
    mark("version");
    out.u32(version);
    mark("tensor_count");
    out.u64(tensor_count.value_or(tensors.size()));
    mark("pair_count");
    out.u64(pair_count.value_or(pairs.size()));
    for (size_t i = 0; i < pairs.size(); ++i) {
      const RawPair& pair = pairs[i];
      const std::string n = std::to_string(i);
      mark("key_length" + n);
      out.u64(pair.key_length.value_or(pair.key.size()));
      mark("key" + n);
      out.raw(pair.key);
      mark("value_type" + n);
      out.u32(pair.type);
      mark("value" + n);
      out.append(pair.value.data.data(), pair.value.data.size());
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      const RawTensor& tensor = tensors[i];
      const std::string n = std::to_string(i);
      mark("name_length" + n);
      out.u64(tensor.name_length.value_or(tensor.name.size()));
      mark("name" + n);
      out.raw(tensor.name);
      mark("dim_count" + n);
      out.u32(tensor.dim_count.value_or(static_cast<uint32_t>(tensor.dims.size())));
      for (size_t d = 0; d < tensor.dims.size(); ++d) {
        mark("dim" + n + "." + std::to_string(d));
        out.u64(tensor.dims[d]);
      }
      mark("tensor_type" + n);
      out.u32(tensor.type);
      mark("offset" + n);
      out.u64(tensor.offset);
    }
    mark("infos_end");
    if (data_bytes > 0)
      out.data.resize((out.data.size() + alignment - 1) / alignment * alignment + data_bytes);
    mark("end");
    return out.data;
  }
};

}  // namespace claa::gguf::test
