// Any bytes either parse as GGUF, and then every accessor and every view works, or are refused with an Error
// that blames the file. Everything else is a finding. Bytes that begin with "SPLIT" are two files of a split
// model: the size of the first in four bytes, then both.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

#include "claa/error.h"
#include "gguf/file.h"
#include "gguf/walk.h"

namespace {

claa::gguf::File parse(std::span<const std::byte> bytes) {
  constexpr std::string_view kSplit = "SPLIT";
  uint32_t size = 0;
  if (bytes.size() < kSplit.size() + sizeof(size) ||
      std::memcmp(bytes.data(), kSplit.data(), kSplit.size()) != 0)
    return claa::gguf::File::parse(bytes, "fuzz.gguf");
  std::memcpy(&size, bytes.data() + kSplit.size(), sizeof(size));
  const auto files = bytes.subspan(kSplit.size() + sizeof(size));
  const size_t first = std::min<size_t>(size, files.size());
  const std::span<const std::byte> both[] = {files.first(first), files.subspan(first)};
  return claa::gguf::File::parse_split(both, "fuzz-00001-of-00002.gguf");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    claa::gguf::test::walk(parse(std::as_bytes(std::span(data, size))));
  } catch (const claa::Error& error) {
    const bool blames_the_file =
        error.code() == claa::ErrorCode::kCorruptFile || error.code() == claa::ErrorCode::kUnsupported;
    if (!blames_the_file) std::abort();
  }
  return 0;  // any other exception ends the process, which the fuzzer reports
}
