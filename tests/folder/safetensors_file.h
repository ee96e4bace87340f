// Safetensors files of a header and of data, true or false.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace claa::test {

inline std::vector<std::byte> safetensors(const std::string& header, const std::vector<std::byte>& data) {
  const uint64_t size = header.size();
  std::vector<std::byte> bytes(sizeof(size) + header.size() + data.size());
  std::memcpy(bytes.data(), &size, sizeof(size));
  std::memcpy(bytes.data() + sizeof(size), header.data(), header.size());
  if (!data.empty()) std::memcpy(bytes.data() + sizeof(size) + header.size(), data.data(), data.size());
  return bytes;
}

// With so many bytes of data, which count up.
inline std::vector<std::byte> safetensors(const std::string& header, size_t data_bytes) {
  std::vector<std::byte> data(data_bytes);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i);
  return safetensors(header, data);
}

}  // namespace claa::test
