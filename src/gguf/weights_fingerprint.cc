#include <string>

#include "core/fingerprint.h"
#include "gguf/file.h"

namespace claa::gguf {

uint64_t weights_fingerprint(const File& file) {
  constexpr size_t kSample = 4096;
  std::string identity;
  const auto add = [&](uint64_t value) {
    identity.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  for (const TensorInfo& tensor : file.tensors()) {
    identity += tensor.name;
    add(static_cast<uint64_t>(tensor.type));
    for (const uint64_t size : tensor.shape) add(size);
    add(fingerprint(tensor.head(kSample)));
    add(fingerprint(tensor.tail(kSample)));
  }
  return fingerprint(std::as_bytes(std::span(identity)));
}

}  // namespace claa::gguf
