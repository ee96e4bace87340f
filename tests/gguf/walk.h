// Touches everything that a parsed file offers: every accessor for every key, every byte of every view, and
// the values of small tensors. Used by the tests of damaged files and by the fuzzer.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "claa/error.h"
#include "gguf/file.h"
#include "gguf/quants.h"

namespace claa::gguf::test {

// Calls an accessor. A value that does not fit is a legitimate answer; anything else is our mistake and goes
// on.
template <typename Call>
void ask(Call call) {
  try {
    call();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorruptFile) throw;
  }
}

inline void expect(bool condition, const char* what) {
  if (!condition) throw std::logic_error(what);
}

inline uint64_t walk(const File& file) {
  uint64_t sum = 0;  // keeps the reads from being optimised away
  const auto touch = [&](std::string_view text) {
    for (const char c : text) sum = sum * 31 + static_cast<unsigned char>(c);
  };
  for (const std::string_view key : file.keys()) {
    touch(key);
    expect(file.has(key) && file.type_of(key).has_value(), "a listed key is not found");
    ask([&] { sum += file.get_uint(key).value(); });
    ask([&] { sum += file.get_float(key).value() > 0; });
    ask([&] { sum += file.get_bool(key).value(); });
    ask([&] { touch(file.get_string(key).value()); });
    ask([&] {
      const std::vector<std::string_view> strings = file.get_strings(key).value();
      for (const std::string_view text : strings) touch(text);
    });
    ask([&] { sum += file.get_ints(key).value().size(); });
    ask([&] { sum += file.get_floats(key).value().size(); });
    ask([&] { sum += file.get_bools(key).value().size(); });
    if (file.type_of(key) == ValueType::kArray) sum += file.array_of(key)->second;
  }
  for (const TensorInfo& tensor : file.tensors()) {
    expect(file.find_tensor(tensor.name) == &tensor, "a listed tensor is not found");
    expect(tensor.elements() / block_elements(tensor.type) * block_bytes(tensor.type) == tensor.data.size(),
           "a tensor's data is not shape x type");
    for (const std::byte b : tensor.data) sum += std::to_integer<uint8_t>(b);
    if (tensor.elements() > 65536) continue;
    std::vector<float> values(tensor.elements());
    dequantize_rows(tensor, 0, values);
    for (const float value : values) sum += value > 0;
  }
  return sum;
}

}  // namespace claa::gguf::test
