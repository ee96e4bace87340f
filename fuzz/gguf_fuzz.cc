// Any bytes either parse as GGUF, and then every accessor and every view works, or are refused with an Error
// that blames the file. Everything else is a finding.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "claa/error.h"
#include "gguf/file.h"
#include "gguf/walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    claa::gguf::test::walk(claa::gguf::File::parse(std::as_bytes(std::span(data, size)), "fuzz.gguf"));
  } catch (const claa::Error& error) {
    const bool blames_the_file =
        error.code() == claa::ErrorCode::kCorruptFile || error.code() == claa::ErrorCode::kUnsupported;
    if (!blames_the_file) std::abort();
  }
  return 0;  // any other exception ends the process, which the fuzzer reports
}
